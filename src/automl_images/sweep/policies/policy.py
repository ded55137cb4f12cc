"""What all early termination policies share: when a trial is judged, and by which values.

A policy is a rule on curves. It knows neither Optuna (`pruner.py` asks it for a study's trials) nor processes (stopping
one is the controller's). It keeps no state: a verdict follows from what trials have reported.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from automl_images.core.options import Options
from automl_images.core.registry import Registry

NO_LIMIT = -math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """What a trial reported, turned so that larger is better.

    An interval without a report has the value of the last one before it.

    Attributes:
        values: finite values by epoch (from 1), in rising order.
        complete: the trial ended by itself; its last value stands for all intervals after its end.
        stopped: the trial was stopped; where it counts at later intervals, its last value stands.
    """

    values: Mapping[int, float]
    complete: bool = False
    stopped: bool = False

    def counts_at(self, interval: int, *, with_stopped: bool = False) -> bool:
        """Tell whether the trial has come to an interval, or ended before it: by itself, or stopped where asked for."""
        if not self.values or min(self.values) > interval:
            return False
        return self.complete or (with_stopped and self.stopped) or max(self.values) >= interval

    def best(self, interval: int) -> float:
        """Return the best value up to an interval; -inf where there is none."""
        return max((value for epoch, value in self.values.items() if epoch <= interval), default=-math.inf)

    def average(self, interval: int) -> float:
        """Return the mean value over the intervals from the first report to `interval`."""
        epochs = [epoch for epoch in self.values if epoch <= interval]
        ends = [*epochs[1:], interval + 1]
        total = sum(self.values[epoch] * (end - epoch) for epoch, end in zip(epochs, ends, strict=True))
        return min(total / (interval + 1 - epochs[0]), self.best(interval))  # rounding lifts no mean above the best


class Policy(abc.ABC):
    """A rule that gives the limit which a trial's best value so far must come up to.

    Attributes:
        options_type: its options, whose field `type` is the name of the policy.
    """

    options_type: ClassVar[type[Options]]

    def __init__(self, options: Any) -> None:
        self.options = options

    @abc.abstractmethod
    def is_due(self, before: int, last: int) -> bool:
        """Tell whether a trial that reported at epochs `before` (0: none) and `last`, none between, is judged now."""

    @abc.abstractmethod
    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return what the best value of `own` up to `interval` must reach for the trial to go on.

        Args:
            own: has reported at `interval`.
            others: all other trials that have reported anything, but failed ones.
            interval: epoch, from 1.

        Returns:
            A value, larger being better, or `NO_LIMIT`. It is never above the best of all values, so that the best
            trial, and the only one, go on.
        """


class IntervalOptions(Options):
    """When a policy is applied: at epochs that are multiples of the interval (0 means 1) and not below the delay."""

    evaluation_interval: int = Field(default=1, ge=0, description="epochs between two evaluations")
    delay_evaluation: int = Field(default=0, ge=0, description="first epoch at which a trial may be stopped")


class IntervalPolicy(Policy):
    """A policy that judges at regular intervals; one whose report is missing is made up for at the next report."""

    options: IntervalOptions

    def is_due(self, before: int, last: int) -> bool:
        """Tell whether there is an evaluated interval after `before` and up to `last`."""
        interval = last - last % max(1, self.options.evaluation_interval)
        return interval > before and interval >= self.options.delay_evaluation


POLICIES: Registry[type[Policy]] = Registry("early termination policy")


class NoTerminationOptions(Options):
    """All trials run to their end."""

    type: Literal["none"] = "none"


@POLICIES.register("none")
class NoTermination(Policy):
    """Stops nothing."""

    options_type = NoTerminationOptions

    def is_due(self, before: int, last: int) -> bool:
        """Return False."""
        return False

    def limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return that there is no limit."""
        return NO_LIMIT
