"""Bayesian sampling: tree-structured Parzen estimators (Bergstra et al. 2011; multivariate: Falkner et al. 2018)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler

from automl_images.sweep.samplers.random import RandomSampler
from automl_images.sweep.space import SearchSpace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10
"""So many trials are drawn evenly before the first is chosen by what came of others."""


class BayesianSampler(BaseSampler):
    """Chooses where good trials were denser than bad ones.

    Hyper-parameters that occur together form one joint density, so conditional spaces need nothing special. Running
    trials count as bad (constant liar), which keeps concurrent trials apart; pruned ones count by their last value.
    Until `STARTUP_TRIALS` have ended, and for parameters that no ended trial has, points are Sobol's.

    Args:
        space: that the trials are asked for.
        seed: of the sweep.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._start = RandomSampler(space, seed, "sobol")
        self._seed = seed
        self._current: dict[int, TPESampler] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that ended trials know."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # group
            # A sampler of its own for each trial: its choice does not depend on how many this process made before.
            seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            tpe = TPESampler(
                n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True, seed=seed
            )
        self._current[trial.number] = tpe
        return tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the points of these parameters."""
        return self._current.pop(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return an evenly drawn point of another parameter."""
        return self._start.draw(trial.number, param_name)
