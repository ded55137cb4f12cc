"""Stops trials whose best value is below what the middle trial has on average (specification D.6).

The rule is Vizier's (Golovin et al., KDD 2017, section 3.2.2); as in Azure all trials count, not completed ones alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from automl_images.sweep.policies.policy import POLICIES, Curve, IntervalOptions, IntervalPolicy


class MedianStoppingOptions(IntervalOptions):
    """Only when, not how much: the median has no parameter."""

    type: Literal["median_stopping"] = "median_stopping"


@POLICIES.register("median_stopping")
class MedianStopping(IntervalPolicy):
    """A trial's best value so far must come up to the median of the averages over intervals 1 to i.

    Averages are those of all trials that have come to interval i or were stopped before, the trial itself included:
    without those that were stopped the median would rise with each of them, until one trial is left.
    """

    options_type = MedianStoppingOptions
    options: MedianStoppingOptions

    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return the median of the averages up to the interval."""
        compared = [own, *(curve for curve in others if curve.counts_at(interval, with_stopped=True))]
        return statistics.median(curve.average(interval) for curve in compared)
