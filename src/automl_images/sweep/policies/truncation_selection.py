"""Stops the lowest share of the trials at each interval (specification D.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from automl_images.sweep.policies.policy import NO_LIMIT, POLICIES, Curve, IntervalOptions, IntervalPolicy


class TruncationSelectionOptions(IntervalOptions):
    """The share in percent, and whether trials that ended by themselves are compared with."""

    type: Literal["truncation_selection"] = "truncation_selection"
    truncation_percentage: int = Field(ge=1, le=99)
    exclude_finished_jobs: bool = False


@POLICIES.register("truncation_selection")
class TruncationSelection(IntervalPolicy):
    """A trial must not be among the lowest x % (rounded down) of the trials that have come to the interval.

    Trials are compared by their best value so far. Those stopped at this interval count, as part of the share; those
    stopped earlier do not. Where equal trials lie across the border, all of them go on.
    """

    options_type = TruncationSelectionOptions
    options: TruncationSelectionOptions

    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return the lowest value that is above the share."""
        compared = [curve for curve in others if curve.counts_at(interval)]
        if self.options.exclude_finished_jobs:
            compared = [curve for curve in compared if not curve.complete]
        stopped = (len(compared) + 1) * self.options.truncation_percentage // 100
        return sorted(curve.best(interval) for curve in compared)[stopped - 1] if stopped else NO_LIMIT
