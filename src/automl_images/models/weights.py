"""What a network starts from, and putting weights into it.

Owns the order: the user's file, then the sources of the catalogue, best first, then random with a warning. Finding and
fetching the files is `weight_files.py`'s, reading them and matching their tensors `tensors.py`'s.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from automl_images.core.errors import ModelError
from automl_images.core.files import read_json, sha256
from automl_images.models import weight_files
from automl_images.models.base import Network
from automl_images.models.tensors import Fit, fill, fold_norm_epsilon, is_head, matched_by_order, read_state

log = logging.getLogger(__name__)

_RECORDS = ("settings.json", "trial.json")
"""Files of ours that name the classes of the weights beside them."""


@dataclasses.dataclass(frozen=True, slots=True)
class WeightsInfo:
    """What a network started from; stands in the trial's settings, the model's manifest and the report.

    Attributes:
        source: `file:…`, `cache:…`, `hub:…`, `package:…` or `random`.
        sha256: of the weights' file; empty for random weights.
        licence: SPDX name, or `unknown` for a user's own file.
        pretrained: False for random weights.
        note: one line for people.
    """

    source: str
    sha256: str
    licence: str
    pretrained: bool
    note: str

    def as_dict(self) -> dict[str, str | bool]:
        """Return a JSON-serialisable dictionary."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class WeightSource:
    """Weights that suit a model.

    Attributes:
        kind: `torchvision`: `name` is `Enum.MEMBER` of torchvision.models or its detection models; `timm`: `name` is
            the hub's repository; `package`: `name` is `package:glob` of a file inside an installed package.
        name: see `kind`.
        target: the part of the network that is filled, a submodule's path; empty for the whole.
        licence: SPDX name.
        meaning: what the weights have learnt, for the note.
        by_order: the file's tensors have other names but the target's order, shapes and last name parts.
        norm_epsilon: epsilon of the batch norm with which they were trained, where it is not the network's.
    """

    kind: weight_files.Kind
    name: str
    target: str
    licence: str
    meaning: str
    by_order: bool = False
    norm_epsilon: float | None = None


def load_weights(
    network: Network,
    sources: Sequence[WeightSource],
    heads: Sequence[str],
    weights: str | Path | None,
    advice: str = "",
) -> WeightsInfo:
    """Fill a network with the best weights at hand.

    Args:
        network: changed in place.
        sources: suitable weights, best first; each is looked for in the cache, then at the hub.
        heads: prefixes of tensors that depend on the classes and may stay random.
        weights: `auto` goes through `sources`; a path is loaded or fails; None leaves the network random.
        advice: what to do instead of training from random weights, for the warning.

    Raises:
        ModelError: the user's file is missing, damaged, or of another network.
    """
    if weights is None:
        return _random("Random weights were asked for.")
    if str(weights) != "auto":
        return _load_file(network, Path(weights), sources, heads)
    for source in sources:
        found = weight_files.find(source.kind, source.name)
        if found is not None:
            origin, path = found
            load_source(network, source, path, heads)
            return WeightsInfo(f"{origin}:{path.name}", sha256(path), source.licence, True, source.meaning)
    note = f"{random_note(sources)} {advice}".strip()
    log.warning(note)
    return _random(note)


def random_note(sources: Sequence[WeightSource]) -> str:
    """Return what it means that none of the weights that suit a network can be had."""
    if not sources:
        return "There are no pretrained weights for this network: training starts from random weights."
    return (
        "No pretrained weights were found in the cache, at the hub or in an installed package: training starts from "
        "random weights, needs many more images and epochs, and ends with a worse model. Give a weights file, or run "
        "once with a network."
    )


def check_file(network: Network, path: Path, sources: Sequence[WeightSource], heads: Sequence[str]) -> None:
    """Check that the user's file of weights fits a network on the meta device, which loads nothing.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter.*")
        _fill_from_file(network, path, sources, heads)


def is_here(source: WeightSource) -> bool:
    """Tell whether weights are on this machine, so that no hub is needed."""
    return weight_files.here(source.kind, source.name) is not None


def may_be_had(source: WeightSource) -> bool:
    """Tell whether weights are on this machine, or their hub answers."""
    return is_here(source) or weight_files.hub_answers(source.kind, source.name)


def load_source(network: Network, source: WeightSource, path: Path, heads: Sequence[str]) -> None:
    """Load a file of a known source into the part of the network that it is for.

    Raises:
        ModelError: the file is damaged or holds something else.
    """
    target = network.get_submodule(source.target)
    state = read_state(path)
    if source.by_order:
        wanted = {n: value for n, value in target.state_dict().items() if not is_head(n, source.target, heads)}
        state = matched_by_order(state, wanted, path)
    missing = fill(network, source.target, state, heads).missing
    if missing:
        raise ModelError(f"{path} lacks tensors of {source.target or 'the network'}: {', '.join(missing[:3])} …")
    if source.norm_epsilon is not None:
        fold_norm_epsilon(target, source.norm_epsilon)


def _random(note: str) -> WeightsInfo:
    return WeightsInfo("random", "", "", False, note)


def _load_file(network: Network, path: Path, sources: Sequence[WeightSource], heads: Sequence[str]) -> WeightsInfo:
    """Load the user's file, of the whole network or of a part that one of the sources is for too."""
    target, fit, state = _fill_from_file(network, path, sources, heads)
    part = f"the {target}" if target else "the network"
    note = f"Your weights, loaded into {part}.{_about_head(network, fit, state, _classes_beside(path))}"
    log.info(note)
    return WeightsInfo(f"file:{path}", sha256(path), "unknown", True, note)


def _fill_from_file(
    network: Network, path: Path, sources: Sequence[WeightSource], heads: Sequence[str]
) -> tuple[str, Fit, dict[str, Tensor]]:
    """Load the user's file; return the part of the network that it is for, how it fits there, and what it holds."""
    state = read_state(path)
    earlier = _classes_beside(path)
    fits: dict[str, Fit] = {}
    for target in dict.fromkeys(["", *(source.target for source in sources)]):
        kept = state
        if earlier is not None and earlier != list(network.classes):
            kept = {name: value for name, value in state.items() if not is_head(name, target, heads)}
        fits[target] = fit = fill(network, target, kept, heads)
        if fit.complete:
            return target, fit, state
    best = min(fits.values(), key=lambda fit: len(fit.missing) + len(fit.foreign))
    reasons = [f"{len(best.missing)} tensors are missing, such as {best.missing[0]!r}"] if best.missing else []
    reasons += [f"{len(best.foreign)} have no place, such as {best.foreign[0]!r}"] if best.foreign else []
    raise ModelError(
        f"{path} holds weights of another network (its first tensor is {next(iter(state))!r}): {'; '.join(reasons)}. "
        "Use a file saved from the same model."
    )


def _about_head(network: Network, fit: Fit, state: Mapping[str, Tensor], earlier: Sequence[str] | None) -> str:
    """Say that the head is new, and why, where it is, and that it is not, where nobody knows what its classes were."""
    if not fit.fresh:
        return "" if earlier is not None else " Its head, too: it does not say for which classes."
    now = len(network.classes)
    if earlier is not None and len(earlier) != now:
        return f" New head: {now} classes instead of {len(earlier)}."
    if earlier is not None:
        return f" New head: the {now} classes are others than the file's."
    name = fit.fresh[0]
    shape = f"{name} is {tuple(state[name].shape)} there" if name in state else "the file has none for them"
    return f" New head: {now} classes, {shape}."


def _classes_beside(path: Path) -> list[str] | None:
    """Return the classes of weights that this project wrote, from the record in their folder."""
    for record in _RECORDS:
        if path.with_name(record).is_file():
            content = read_json(path.with_name(record))
            if isinstance(content, dict) and "classes" in content:
                return list(content["classes"])
    return None
