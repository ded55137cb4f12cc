"""Stops all but the best at few, ever later epochs: asynchronous successive halving, our addition.

The rule is ASHA's (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934) in the form that stops instead of pausing.
Written here rather than taken from Optuna, whose pruner stores its rungs, goes by the value of the one epoch instead of
the best so far, and stops the second trial of a sweep whenever it begins worse than the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from automl_images.core.options import Options
from automl_images.sweep.policies.policy import NO_LIMIT, POLICIES, Curve, Policy


class HyperbandOptions(Options):
    """Rungs lie at epochs `minimum_epochs * reduction_factor ** k`; of n trials at one, n // reduction_factor go on."""

    type: Literal["hyperband"] = "hyperband"
    reduction_factor: int = Field(default=3, ge=2)
    minimum_epochs: int = Field(default=1, ge=1)


@POLICIES.register("hyperband")
class Hyperband(Policy):
    """At a rung a trial must be in the best 1 / `reduction_factor` of all that have come to it.

    Until `reduction_factor` trials have come to a rung, all go on: among fewer none can be told to be outside.
    """

    options_type = HyperbandOptions
    options: HyperbandOptions

    def is_due(self, before: int, last: int) -> bool:
        """Tell whether there is a rung after `before` and up to `last`."""
        rung = self.options.minimum_epochs
        while rung * self.options.reduction_factor <= last:
            rung *= self.options.reduction_factor
        return before < rung <= last

    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return the lowest of the best values that go on."""
        compared = sorted((c.best(interval) for c in others if c.counts_at(interval)), reverse=True)
        kept = (len(compared) + 1) // self.options.reduction_factor
        return compared[kept - 1] if kept else NO_LIMIT
