"""What all early termination policies share: when a trial is judged, by which values, and in which words it is stopped.

Owns intervals, curves and the direction of the metric; each policy adds only the limit that a trial has to reach.
Stopping the process is the controller's.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from automl_images.core.options import Options
from automl_images.core.registry import Registry

NO_LIMIT = -math.inf
_COUNTED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


class IntervalOptions(Options):
    """When a policy is applied: at epochs that are multiples of the interval (0 means 1) and not below the delay."""

    evaluation_interval: int = Field(default=1, ge=0, description="epochs between two evaluations")
    delay_evaluation: int = Field(default=0, ge=0, description="first epoch at which a trial may be stopped")


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """What a trial reported, turned so that larger is better.

    An interval without a report has the value of the last one before it.

    Attributes:
        values: finite values by epoch (from 1), in rising order.
        complete: the trial ended by itself; its last value stands for all intervals after its end.
    """

    values: Mapping[int, float]
    complete: bool = False

    def counts_at(self, interval: int) -> bool:
        """Tell whether the trial has come to an interval."""
        return bool(self.values) and min(self.values) <= interval and (self.complete or max(self.values) >= interval)

    def best(self, interval: int) -> float:
        """Return the best value up to an interval; -inf where there is none."""
        return max((value for epoch, value in self.values.items() if epoch <= interval), default=-math.inf)

    def average(self, interval: int) -> float:
        """Return the mean value over the intervals from the first report to `interval`."""
        epochs = [epoch for epoch in self.values if epoch <= interval]
        ends = [*epochs[1:], interval + 1]
        total = sum(self.values[epoch] * (end - epoch) for epoch, end in zip(epochs, ends, strict=True))
        return min(total / (interval + 1 - epochs[0]), self.best(interval))  # rounding lifts no mean above the best


class Policy(BasePruner, abc.ABC):
    """A pruner that can say why. It keeps no state: a verdict follows from what the study's trials have reported.

    A trial may be asked for at any time, also again when others have reported since. The only trial is never stopped,
    and neither is one that is as good as the limit. Failed trials do not count. NaN is the same as no report.
    """

    options_type: ClassVar[type[Options]]

    def __init__(self, options: Any) -> None:
        """Take options of the type `options_type`, whose `type` is the name of the policy."""
        self.options = options

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether a trial is to be stopped (the interface of Optuna)."""
        return bool(self.reason(study, trial))

    def reason(self, study: Study, trial: FrozenTrial) -> str:
        """Return why a trial is to be stopped, such as `stopped by bandit at epoch 3: 0.41 < 0.55`; empty: it goes on.

        Args:
            study: with one direction; the trials that it holds are compared.
            trial: as stored in the study, with at least the reports it is judged by.
        """
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        own = _curve(trial, sign)
        before, last = [0, 0, *own.values][-2:]
        if not own.values or not self._is_due(before, last):
            return ""
        trials = study.get_trials(deepcopy=False, states=_COUNTED)
        others = [_curve(other, sign) for other in trials if other.number != trial.number]
        best, limit = own.best(last), self._limit(own, others, last)
        if not best < limit:
            return ""
        shown, relation = (sign * best, sign * limit), "<" if sign > 0 else ">"
        return f"stopped by {self.options.type} at epoch {last}: {shown[0]:.4g} {relation} {shown[1]:.4g}"

    @abc.abstractmethod
    def _is_due(self, before: int, last: int) -> bool:
        """Tell whether a trial that reported at epochs `before` (0: none) and `last`, none between, is judged now."""

    @abc.abstractmethod
    def _limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        """Return what the best value of `own` up to `interval` must reach, larger being better; `NO_LIMIT`: nothing."""


class IntervalPolicy(Policy):
    """A policy that judges at regular intervals; one whose report is missing is made up for at the next report."""

    options: IntervalOptions

    def _is_due(self, before: int, last: int) -> bool:
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

    def _is_due(self, before: int, last: int) -> bool:
        return False

    def _limit(self, own: Curve, others: Sequence[Curve], interval: int) -> float:
        return NO_LIMIT


def _curve(trial: FrozenTrial, sign: float) -> Curve:
    reported = sorted(trial.intermediate_values.items())
    finite = {epoch: sign * value for epoch, value in reported if math.isfinite(value)}
    return Curve(finite, trial.state == TrialState.COMPLETE)
