"""Tensors by name: read from files, matched with a network's, and put into it.

Nothing is unpickled but tensors (`weights_only=True`), and a file whose name promises a hash is held to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automl_images.core.errors import ModelError
from automl_images.core.files import sha256
from automl_images.models import weight_files
from automl_images.models.base import Network


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
    except Exception as error:  # torch and safetensors raise many kinds; torch's texts advise to run code of the file
        raise ModelError(
            f"{path} cannot be read as weights. Expected .safetensors, or a .pth or .pt that holds nothing but tensors "
            "by name, such as a state_dict; whole pickled models are not opened, as they may run code."
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


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """Names of tensors that did not fit.

    Attributes:
        missing: were needed but did not come; foreign: came, but are a deeper network's; fresh: heads that stay random.
    """

    missing: list[str]
    foreign: list[str]
    fresh: list[str]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing left over."""
        return not self.missing and not self.foreign


def fill(network: Network, target: str, state: dict[str, Tensor], heads: Sequence[str]) -> Fit:
    """Load what fits by name and shape into the submodule `target`."""
    part = network.get_submodule(target)
    shapes = {name: value.shape for name, value in part.state_dict().items()}
    adapted = network.adapted(state)
    fitting = {name: value for name, value in adapted.items() if shapes.get(name, value.shape) == value.shape}
    absent = [name for name in part.load_state_dict(fitting, strict=False).missing_keys if not _is_counter(name)]
    unknown = [name for name in state if name not in shapes and not _is_counter(name)]
    return Fit(
        missing=[name for name in absent if not is_head(name, target, heads)],
        foreign=[name for name in unknown if not is_head(name, target, heads) and _is_deeper(part, name)],
        fresh=[name for name in absent if is_head(name, target, heads)],
    )


def is_head(name: str, target: str, heads: Sequence[str]) -> bool:
    """Tell whether a tensor of the submodule `target` belongs to a head."""
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
