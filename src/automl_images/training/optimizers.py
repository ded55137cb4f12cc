"""Parameter groups and optimisers.

Source: specification, section G, with its known defects mended: every norm layer's weight and every parameter that is
no weight matrix (biases, class tokens, position embeddings, layer scales) is trained without decay, and nothing is
left out.
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn, optim

from automl_images.core.errors import TrainingError
from automl_images.models.base import Network
from automl_images.training.settings import TrainingSettings


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Put every trainable parameter into a group: with weight decay or without, and by learning rate.

    Args:
        model: frozen parameters (`requires_grad` False) are left out; shared ones are counted once. With a
            `layer_decay` below 1 it is a `models.base.Network`.
        weight_decay: of half of the groups; the others have 0.
        layer_decay: factor of the learning rate from a layer group to the one before it (layer-wise learning-rate
            decay, arXiv:2106.08254, section A); 1: all learn at the same rate.

    Returns:
        Groups for a torch optimiser, none empty; `scale` is the share of the learning rate that a group gets.

    Raises:
        TrainingError: everything is frozen.
    """
    scale_of = _scales(model, layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for place, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                decay = weight_decay if _decays(module, name, parameter) else 0.0
                scale = scale_of.get(f"{place}.{name}" if place else name, 1.0)
                groups.setdefault((scale, decay), []).append(parameter)
    if not seen:
        raise TrainingError("There is nothing to train: all layers are frozen. Lower layers_to_freeze.")
    ordered = sorted(groups.items(), key=lambda item: (-item[0][0], -item[0][1]))
    return [{"params": found, "weight_decay": decay, "scale": scale} for (scale, decay), found in ordered]


def _scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    if layer_decay == 1.0:
        return {}
    depths = cast(Network, model).depth_of_parameters()
    last = max(depths.values())
    return {name: layer_decay ** (last - depth) for name, depth in depths.items()}


def make_optimizer(model: nn.Module, settings: TrainingSettings, world_size: int = 1) -> optim.Optimizer:
    """Return the optimiser of `settings`; the learning rate is scaled by the number of processes."""
    groups = parameter_groups(model, settings.weight_decay, settings.layer_decay)
    rate = peak_learning_rate(settings, world_size)
    if settings.optimizer == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0  # torch refuses Nesterov without momentum
        return optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=nesterov)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(groups, lr=rate, betas=(settings.beta1, settings.beta2), amsgrad=settings.ams_gradient)


def peak_learning_rate(settings: TrainingSettings, world_size: int) -> float:
    """Return the learning rate at the top of the schedule: linear in the number of processes."""
    return settings.learning_rate * world_size


def _decays(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    is_matrix = name.endswith("weight") and parameter.ndim >= 2
    return is_matrix and "norm" not in type(module).__name__.lower() and not isinstance(module, nn.Embedding)
