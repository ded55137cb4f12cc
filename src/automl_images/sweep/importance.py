"""How much each hyper-parameter mattered for the metric, by Optuna's functional analysis of variance.

fANOVA (Hutter et al., ICML 2014) rather than Optuna's default: with 10 to 50 trials of a known function it named the
hyper-parameter that mattered most far more often than PED-ANOVA did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

FEWEST_TRIALS = 10
"""With fewer trials the numbers are noise."""


def importances(columns: Mapping[str, Sequence[float] | Sequence[str]], values: Sequence[float]) -> dict[str, float]:
    """Return the share of the metric's variance that each hyper-parameter explains, the largest first.

    Args:
        columns: a value of each trial, by hyper-parameter: numbers (those that are better compared by their logarithm,
            as logarithm) or texts.
        values: the metric of each trial, finite.

    Returns:
        Name to share in [0, 1], summing to 1; those that never vary are left out. Empty for fewer than `FEWEST_TRIALS`
        trials, or where nothing varies.
    """
    varying = {name: list(column) for name, column in columns.items() if len(set(column)) > 1}
    if len(values) < FEWEST_TRIALS or not varying or len(set(values)) == 1:
        return {}
    distributions = {name: _distribution(column) for name, column in varying.items()}
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study
    study = optuna.create_study(direction="maximize")
    for number, value in enumerate(values):
        params = {name: column[number] for name, column in varying.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _distribution(column: Sequence[object]) -> BaseDistribution:
    numbers = [value for value in column if isinstance(value, float)]
    if numbers:
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(sorted({str(value) for value in column}))
