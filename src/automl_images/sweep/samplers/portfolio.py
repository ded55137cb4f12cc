"""AutoMode's sampler: recipes of a portfolio in their trials, else a Bayesian search around those that were good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from automl_images.sweep.samplers.bayesian import BayesianSampler
from automl_images.sweep.space import SearchSpace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class PortfolioSampler(BaseSampler):
    """Some trials have their values given, the first ones above all; others are chosen by what came of the earlier.

    Args:
        space: that the trials are asked for.
        starts: for the numbers of these trials their values, by parameter name of the study.
        seed: of the search.
        is_open: tells whether the search may draw a branch now.
    """

    def __init__(
        self,
        space: SearchSpace,
        starts: Mapping[int, Mapping[str, Any]],
        seed: int,
        is_open: Callable[[int], bool] = lambda branch: True,
    ) -> None:
        self._space = space
        self._starts = dict(starts)
        self._search = BayesianSampler(space, seed, startup_trials=len(self._starts), is_open=is_open)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that ended trials know, once all starts were made."""
        return {} if self._is_start(trial) else self._search.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the points of these parameters."""
        return {} if self._is_start(trial) else self._search.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the start's value of a parameter, or an evenly drawn one."""
        if self._is_start(trial):
            return self._space.parameters[param_name].point(self._starts[trial.number][param_name])
        return self._search.sample_independent(study, trial, param_name, param_distribution)

    def _is_start(self, trial: FrozenTrial) -> bool:
        return trial.number in self._starts
