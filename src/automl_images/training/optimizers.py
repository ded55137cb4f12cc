"""Parameter groups and optimisers.

Source: specification, section G, with its known defects mended: every norm layer's weight and every parameter that is
no weight matrix (biases, class tokens, position embeddings, layer scales) is trained without decay, and nothing is
left out.
"""

from __future__ import annotations

from typing import Any

from torch import nn, optim

from automl_images.core.errors import TrainingError
from automl_images.training.settings import TrainingSettings


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Put every trainable parameter into one of two groups: with decay and without.

    Args:
        model: frozen parameters (`requires_grad` False) are left out; shared ones are counted once.
        weight_decay: of the first group; the second has 0.

    Returns:
        One or two groups for a torch optimiser, none empty.

    Raises:
        TrainingError: everything is frozen.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                (decayed if _decays(module, name, parameter) else plain).append(parameter)
    if not seen:
        raise TrainingError("There is nothing to train: all layers are frozen. Lower layers_to_freeze.")
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, settings: TrainingSettings, world_size: int = 1) -> optim.Optimizer:
    """Return the optimiser of `settings`; the learning rate is scaled by the number of processes."""
    groups = parameter_groups(model, settings.weight_decay)
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
