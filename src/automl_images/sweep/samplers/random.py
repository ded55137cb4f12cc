"""Random sampling: each trial's configuration depends on the seed and its number alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from automl_images.sweep.space import SearchSpace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class RandomSampler(BaseSampler):
    """Draws from the distributions of a space by their inverse distribution functions.

    Args:
        space: that the trials are asked for.
        seed: of the sweep.
        rule: `random`: independent numbers; `sobol`: trial n takes point n of Owen-scrambled Sobol numbers (Owen 1998;
            Joe and Kuo 2008), with one dimension for each parameter of the space.
    """

    def __init__(self, space: SearchSpace, seed: int, rule: str = "random") -> None:
        self._space = space
        self._names = list(space.parameters)
        self._seed = seed
        self._rule = rule

    def draw(self, number: int, name: str) -> Any:
        """Return the point of a parameter in trial `number`."""
        index = self._names.index(name)
        u = self._sobol(number, index) if self._rule == "sobol" else _pseudo_random(self._seed, number, index)
        return self._space.parameters[name].at(u)

    def _sobol(self, number: int, index: int) -> float:
        from scipy.stats.qmc import Sobol  # seconds to import

        engine = Sobol(len(self._names), scramble=True, rng=self._seed)
        if number:
            engine.fast_forward(number)
        return float(engine.random(1)[0, index])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: every parameter is drawn when it is asked for."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the point of a parameter."""
        return self.draw(trial.number, param_name)


def _pseudo_random(seed: int, number: int, index: int) -> float:
    return float(np.random.default_rng([seed, number, index]).random())
