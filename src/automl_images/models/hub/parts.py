"""What is done alike to every network of transformers: its layer groups, its batch norm, its older tensor names."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl_images.models.backbones import LayerGroups, resnet_groups

PREFIX = "network."
"""Stands before the names of transformers in the tensors of our networks."""


def layer_groups(part: nn.Module) -> LayerGroups:
    """Return the embeddings, then each layer or stage of a backbone or classifier, from the input on.

    The layers are the outermost module list with most parameters; what is registered before it are the embeddings.
    torchvision's and timm's ResNets have stages by name instead.
    """
    for module in part.modules():
        if hasattr(module, "layer4") and hasattr(module, "bn1"):
            return resnet_groups(module)
    lists = {name: m for name, m in part.named_modules() if isinstance(m, nn.ModuleList | nn.Sequential) and name}
    outer = {name: m for name, m in lists.items() if not any(name.startswith(f"{other}.") for other in lists)}
    if not outer:
        return [[part]]
    path = max(outer, key=lambda name: sum(p.numel() for p in outer[name].parameters()))
    groups = [_before(part, path.split(".")), *([layer] for layer in outer[path])]
    return [group for group in groups if group]


def _before(part: nn.Module, path: list[str]) -> list[nn.Module]:
    """Return what is registered before the module at `path`, on each level."""
    found: list[nn.Module] = []
    for piece in path:
        children = dict(part.named_children())
        found += list(children.values())[: list(children).index(piece)]
        part = children[piece]
    return found


def thaw_norms(network: nn.Module) -> None:
    """Replace batch norm that can only rest, as transformers' detectors have it, by one that can be trained too.

    With random weights resting batch norm diverges; with pretrained ones `Network.freeze` lets it rest.
    """
    for name, module in list(network.named_modules()):
        if type(module).__name__.endswith("FrozenBatchNorm2d"):
            frozen: Any = module
            norm = nn.BatchNorm2d(len(frozen.weight))
            norm.load_state_dict(frozen.state_dict(), strict=False)
            network.set_submodule(name, norm)


def fix_constants(network: nn.Module) -> None:
    """Make buffers of parameters that are constants, so that `Network.freeze` does not begin to train them.

    Only outside of a backbone: there transformers' detectors hold layers that their authors did not train.
    """
    constants = [
        (n, p) for n, p in network.named_parameters() if not p.requires_grad and "backbone" not in n.split(".")
    ]
    for name, parameter in constants:
        path, _, last = name.rpartition(".")
        owner = network.get_submodule(path)
        delattr(owner, last)
        owner.register_buffer(last, parameter.detach().clone())


def converted(network: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors the names that the network has in the installed version of transformers.

    transformers renames parts of networks from version to version and reads older files; so do we, by its own rules.

    Args:
        network: of transformers.
        state: content of a file of weights.

    Returns:
        The tensors that fit by name and shape; `state` itself where these are no weights of such a network, or where
        they already have the names of this project's own files.
    """
    if any(name.startswith(PREFIX) for name in state):
        return dict(state)
    with _quiet():
        filled, report = type(network).from_pretrained(
            None,
            config=copy.deepcopy(network.config),
            state_dict=dict(state),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    absent = {*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])}
    known = {name: value for name, value in filled.state_dict().items() if name not in absent}
    return known or dict(state)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and tables off the terminal; `weights.py` says what did not fit."""
    from transformers.utils import logging as messages

    level, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if bars:
            messages.enable_progress_bar()
