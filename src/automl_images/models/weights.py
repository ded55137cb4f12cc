"""What a network starts from, and putting weights into it.

Owns the order: the user's file, then the sources of the catalogue, best first, then random with a warning; finding and
fetching the files is `weight_files.py`'s. Nothing is unpickled but tensors (`weights_only=True`), and a file whose name
promises a hash is held to it.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automl_images.core.errors import ModelError
from automl_images.core.files import read_json, sha256
from automl_images.models import weight_files
from automl_images.models.base import Network

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
        wanted = {n: value for n, value in target.state_dict().items() if not _is_head(n, source.target, heads)}
        state = matched_by_order(state, wanted, path)
    missing = _fill(network, source.target, state, heads).missing
    if missing:
        raise ModelError(f"{path} lacks tensors of {source.target or 'the network'}: {', '.join(missing[:3])} …")
    if source.norm_epsilon is not None:
        fold_norm_epsilon(target, source.norm_epsilon)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a .safetensors or a torch file, without running code from it.

    Raises:
        ModelError: missing, damaged, or not a dictionary of tensors; the hash in the name is not the file's.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file {path}. Check the path.")
    promised = weight_files.HASH_IN_NAME.search(path.name)
    if promised and not sha256(path).startswith(promised[1]):
        raise ModelError(
            f"{path} is damaged: its SHA-256 does not start with {promised[1]}. Delete it and fetch it anew."
        )
    try:
        state: Any = _read(path)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        raise ModelError(
            f"{path} cannot be read as weights (.safetensors, or a .pth of tensors only): {error}"
        ) from error
    for key in ("model", "state_dict", "model_state"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} must hold a dictionary of tensors, got {type(state).__name__}.")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def matched_by_order(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Give the leading tensors of `state` the names of `wanted`: same order, shape and last part of the name.

    Counters of batch norm layers are left out on both sides; some files have none.

    Raises:
        ModelError: they do not match one to one.
    """
    needed, given = ([pair for pair in tensors.items() if not _is_counter(pair[0])] for tensors in (wanted, state))
    pairs = list(zip(needed, given, strict=False))
    fits = [
        shape.shape == value.shape and name.rsplit(".", 1)[-1] == other.rsplit(".", 1)[-1]
        for (name, shape), (other, value) in pairs
    ]
    if len(pairs) < len(needed) or not all(fits):
        raise ModelError(f"{path} does not hold the expected network: {sum(fits)} of {len(needed)} tensors fit.")
    return {name: value for (name, _), (_, value) in pairs}


def fold_norm_epsilon(network: nn.Module, epsilon: float) -> None:
    """Rescale batch norm weights so that the layers compute what they would with another epsilon."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            ratio = (module.running_var + module.eps) / (module.running_var + epsilon).clamp(min=1e-12)
            module.weight.data *= ratio.sqrt()


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
) -> tuple[str, _Fit, dict[str, Tensor]]:
    """Load the user's file; return the part of the network that it is for, how it fits there, and what it holds."""
    state = read_state(path)
    earlier = _classes_beside(path)
    fits: dict[str, _Fit] = {}
    for target in dict.fromkeys(["", *(source.target for source in sources)]):
        kept = state
        if earlier is not None and earlier != list(network.classes):
            kept = {name: value for name, value in state.items() if not _is_head(name, target, heads)}
        fits[target] = fit = _fill(network, target, kept, heads)
        if fit.complete:
            return target, fit, state
    best = min(fits.values(), key=lambda fit: len(fit.missing) + len(fit.foreign))
    reasons = [f"{len(best.missing)} tensors are missing, such as {best.missing[0]!r}"] if best.missing else []
    reasons += [f"{len(best.foreign)} have no place, such as {best.foreign[0]!r}"] if best.foreign else []
    raise ModelError(
        f"{path} holds weights of another network (its first tensor is {next(iter(state))!r}): {'; '.join(reasons)}. "
        "Use a file saved from the same model."
    )


def _about_head(network: Network, fit: _Fit, state: Mapping[str, Tensor], earlier: Sequence[str] | None) -> str:
    """Say that the head is new, and why, where it is."""
    if not fit.fresh:
        return ""
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Fit:
    """Names of tensors that did not fit.

    Attributes:
        missing: were needed but did not come; foreign: came, but are a deeper network's; fresh: heads that stay random.
    """

    missing: list[str]
    foreign: list[str]
    fresh: list[str]

    @property
    def complete(self) -> bool:
        return not self.missing and not self.foreign


def _fill(network: Network, target: str, state: dict[str, Tensor], heads: Sequence[str]) -> _Fit:
    """Load what fits by name and shape into the submodule `target`."""
    part = network.get_submodule(target)
    shapes = {name: value.shape for name, value in part.state_dict().items()}
    adapted = network.adapted(state)
    fitting = {name: value for name, value in adapted.items() if shapes.get(name, value.shape) == value.shape}
    absent = [name for name in part.load_state_dict(fitting, strict=False).missing_keys if not _is_counter(name)]
    unknown = [name for name in state if name not in shapes and not _is_counter(name)]
    return _Fit(
        missing=[name for name in absent if not _is_head(name, target, heads)],
        foreign=[name for name in unknown if not _is_head(name, target, heads) and _is_deeper(part, name)],
        fresh=[name for name in absent if _is_head(name, target, heads)],
    )


def _is_head(name: str, target: str, heads: Sequence[str]) -> bool:
    return f"{target}.{name}".removeprefix(".").startswith(tuple(heads))


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _is_deeper(part: nn.Module, name: str) -> bool:
    """Tell whether a tensor is of an element behind the last one of a sequence, as in a deeper ResNet."""
    for piece in name.split(".")[:-1]:
        children = dict(part.named_children())
        if piece not in children:
            return isinstance(part, nn.Sequential | nn.ModuleList) and piece.isdigit()
        part = children[piece]
    return False
