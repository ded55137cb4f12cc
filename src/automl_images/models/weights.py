"""Where pretrained weights come from, and putting them into a network.

Owns the order: the user's file, the local cache, the hub, what an installed package carries, random with a warning.
Which weights suit which model stands in `catalogue.py`. Nothing is unpickled but tensors (`weights_only=True`), and a
file whose name promises a hash is held to it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import re
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from automl_images.core.errors import ModelError
from automl_images.core.files import replacing, sha256

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
_READ_SECONDS = 20.0
_CHUNK = 1 << 20
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")


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

    kind: Literal["torchvision", "timm", "package"]
    name: str
    target: str
    licence: str
    meaning: str
    by_order: bool = False
    norm_epsilon: float | None = None


def load_weights(
    network: nn.Module, sources: Sequence[WeightSource], heads: Sequence[str], weights: str | Path | None
) -> WeightsInfo:
    """Fill a network with the best weights at hand.

    Args:
        network: changed in place.
        sources: suitable weights, best first; each is looked for in the cache, then at the hub.
        heads: prefixes of tensors that depend on the classes and may stay random.
        weights: `auto` goes through `sources`; a path is loaded or fails; None leaves the network random.

    Raises:
        ModelError: the user's file is missing, damaged, or of another network.
    """
    if weights is None:
        return _random("Random weights were asked for.")
    if str(weights) != "auto":
        return _load_file(network, Path(weights), sources, heads)
    for source in sources:
        found = _find(source)
        if found is not None:
            origin, path = found
            load_source(network, source, path, heads)
            return WeightsInfo(f"{origin}:{path.name}", sha256(path), source.licence, True, source.meaning)
    note = (
        "No pretrained weights were found in the cache, at the hub or in an installed package: training starts from "
        "random weights, needs many more images and epochs, and ends with a worse model. Give a weights file, or run "
        "once with a network."
        if sources
        else "There are no pretrained weights for this network: training starts from random weights."
    )
    log.warning(note)
    return _random(note)


def load_source(network: nn.Module, source: WeightSource, path: Path, heads: Sequence[str]) -> None:
    """Load a file of a known source into the part of the network that it is for."""
    target = network.get_submodule(source.target)
    state = read_state(path)
    if source.by_order:
        state = matched_by_order(state, target.state_dict(), path)
    missing = _fill(target, state, heads)
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
    promised = _HASH_IN_NAME.search(path.name)
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

    Raises:
        ModelError: they do not match one to one.
    """
    pairs = list(zip(wanted.items(), state.items(), strict=False))
    fits = [
        shape.shape == value.shape and name.rsplit(".", 1)[-1] == other.rsplit(".", 1)[-1]
        for (name, shape), (other, value) in pairs
    ]
    if len(pairs) < len(wanted) or not all(fits):
        raise ModelError(f"{path} does not hold the expected network: {sum(fits)} of {len(wanted)} tensors fit.")
    return {name: value for (name, _), (_, value) in pairs}


def fold_norm_epsilon(network: nn.Module, epsilon: float) -> None:
    """Rescale batch norm weights so that the layers compute what they would with another epsilon."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            ratio = (module.running_var + module.eps) / (module.running_var + epsilon).clamp(min=1e-12)
            module.weight.data *= ratio.sqrt()


def _random(note: str) -> WeightsInfo:
    return WeightsInfo("random", "", "", False, note)


def _load_file(network: nn.Module, path: Path, sources: Sequence[WeightSource], heads: Sequence[str]) -> WeightsInfo:
    state = read_state(path)
    targets = dict.fromkeys(["", *(source.target for source in sources)])
    for target in targets:
        if not _fill(network.get_submodule(target), state, heads):
            part = f"the {target}" if target else "the network"
            return WeightsInfo(f"file:{path}", sha256(path), "unknown", True, f"Your weights, loaded into {part}.")
    expected = next(name for name in network.state_dict() if not name.startswith(tuple(heads)))
    raise ModelError(
        f"{path} holds weights of another network: it should have tensors named like {expected!r}, "
        f"but has names like {next(iter(state))!r}. Use a file saved from the same model."
    )


def _fill(target: nn.Module, state: Mapping[str, Tensor], heads: Sequence[str]) -> list[str]:
    """Load what fits; return the names of tensors that were needed but did not come."""
    shapes = {name: value.shape for name, value in target.state_dict().items()}
    fitting = {name: value for name, value in state.items() if shapes.get(name, value.shape) == value.shape}
    missing = target.load_state_dict(fitting, strict=False).missing_keys
    return [name for name in missing if not name.startswith(tuple(heads)) and not name.endswith("num_batches_tracked")]


def _find(source: WeightSource) -> tuple[str, Path] | None:
    finders: dict[str, Callable[[str], tuple[str, Path] | None]] = {
        "torchvision": _find_torchvision,
        "timm": _find_timm,
        "package": _find_in_package,
    }
    return finders[source.kind](source.name)


def _find_torchvision(name: str) -> tuple[str, Path] | None:
    from torchvision.models import get_weight

    url = get_weight(name).url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if path.is_file():
        return "cache", path
    return (
        ("hub", path) if reachable(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}") and _fetch(url, path) else None
    )


def _find_timm(repository: str) -> tuple[str, Path] | None:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    folder = os.environ.get("HF_HUB_CACHE")
    cached = try_to_load_from_cache(repository, "model.safetensors", cache_dir=folder)
    if isinstance(cached, str):
        return "cache", Path(cached)
    if not reachable(constants.ENDPOINT):
        return None
    try:
        return "hub", Path(
            hf_hub_download(repository, "model.safetensors", cache_dir=folder, etag_timeout=_READ_SECONDS)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        log.warning("Fetching %s failed: %s. Going on without it.", repository, error)
        return None


def _find_in_package(name: str) -> tuple[str, Path] | None:
    package, pattern = name.split(":")
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [path for folder in folders or () for path in sorted(Path(folder).glob(pattern))]
    return ("package", files[0]) if files else None


@lru_cache
def reachable(address: str) -> bool:
    """Tell whether a hub answers within two seconds; asked once, and never when HF_HUB_OFFLINE is set.

    The question runs in a thread of its own because resolving a name cannot be given a time limit.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}:
        return False
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(address)), daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers and answers[0])


def _answers(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the address comes from torchvision or the hub's client
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _fetch(url: str, path: Path) -> bool:
    """Download to `path`, all or nothing; False with a warning when that fails."""
    log.info("Fetching %s", url)
    try:
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as answer, replacing(path) as temporary:  # noqa: S310
            with temporary.open("wb") as stream:
                while chunk := answer.read(_CHUNK):
                    stream.write(chunk)
            promised = _HASH_IN_NAME.search(path.name)
            if promised and not sha256(temporary).startswith(promised[1]):
                raise OSError(f"what arrived is not the file whose SHA-256 starts with {promised[1]}")
    except OSError as error:
        log.warning("Fetching %s failed: %s. Going on without it.", url, error)
        return False
    return True
