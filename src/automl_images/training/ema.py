"""The moving average of the weights, which is smoother than the weights and usually better.

Decay after the n-th update is `0.9999 * (1 - exp(-n / 2000))` (specification, section G), so that the average follows
closely at first: after 500 updates the decay is 0.22, after 10,000 it is 0.993. In a training of a few hundred updates
that is the weights themselves; there the ramp is shorter, so that the average reaches over the last tenth of them.
timm's average has another ramp.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

RAMP, REACH = 2000.0, 0.1


class WeightAverage:
    """A copy of a model that follows it.

    Args:
        model: to follow.
        expected_updates: about how many there will be.

    Attributes:
        module: the copy, in eval mode, without gradients.
        updates: how often it was updated.
    """

    def __init__(self, model: nn.Module, expected_updates: float = math.inf) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._ramp = ramp(expected_updates)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`'s trained parameters; buffers and frozen parameters are copied."""
        self.updates += 1
        averages: list[Tensor] = []
        trained: list[Tensor] = []
        for mine, its in zip(self.module.parameters(), model.parameters(), strict=True):
            if its.requires_grad:
                averages.append(mine)
                trained.append(its.detach())
        torch._foreach_lerp_(averages, trained, 1.0 - decay(self.updates, self._ramp))
        for mine_buffer, its_buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            mine_buffer.copy_(its_buffer)

    def state_dict(self) -> dict[str, Any]:
        """Return the copy's state and the number of updates."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]


def decay(updates: int, ramp: float = RAMP) -> float:
    """Return the share of the old average that the `updates`-th update keeps, in [0, 0.9999)."""
    return 0.9999 * (1.0 - math.exp(-updates / ramp))


def ramp(expected_updates: float) -> float:
    """Return the ramp with which the last decay reaches over a tenth of so many updates; `RAMP` for long trainings."""
    tenth = math.log(max(math.e, REACH * expected_updates))
    return RAMP if math.isinf(expected_updates) else min(RAMP, expected_updates / tenth)
