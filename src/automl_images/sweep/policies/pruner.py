"""Policies as Optuna pruners: a study's trials become curves, a verdict becomes a sentence."""

from __future__ import annotations

import math

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from automl_images.sweep.policies.policy import Curve, Policy

_COUNTED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


class PolicyPruner(BasePruner):
    """A pruner that can say why.

    A trial may be asked about at any time, also again when others have reported since. The only trial is never stopped,
    and neither is one that is as good as the limit. Failed trials do not count. NaN is the same as no report.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether a trial is to be stopped (the interface of Optuna)."""
        return bool(self.reason(study, trial))

    def reason(self, study: Study, trial: FrozenTrial) -> str:
        """Return why a trial is to be stopped, such as `stopped by bandit at epoch 3: 0.41 < 0.55`; empty: it goes on.

        Args:
            study: with one direction; the trials that it holds are compared. Steps of reports are epochs, from 1.
            trial: as the study stores it now.
        """
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        own = _curve(trial, sign)
        before, last = [0, 0, *own.values][-2:]
        if not own.values or not self.policy.is_due(before, last):
            return ""
        trials = study.get_trials(deepcopy=False, states=_COUNTED)
        curves = [_curve(other, sign) for other in trials if other.number != trial.number]
        best, limit = own.best(last), self.policy.limit(own, [curve for curve in curves if curve.values], last)
        if not best < limit or math.isclose(best, limit, rel_tol=1e-9, abs_tol=1e-12):  # 0.6 is no less than 0.8 - 0.2
            return ""
        relation = f"{sign * best:.4g} {'<' if sign > 0 else '>'} {sign * limit:.4g}"
        return f"stopped by {self.policy.options.type} at epoch {last}: {relation}"


def _curve(trial: FrozenTrial, sign: float) -> Curve:
    reported = sorted(trial.intermediate_values.items())
    finite = {epoch: sign * value for epoch, value in reported if math.isfinite(value)}
    return Curve(finite, trial.state == TrialState.COMPLETE, trial.state == TrialState.PRUNED)
