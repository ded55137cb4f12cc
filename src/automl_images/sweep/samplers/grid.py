"""Grid sampling: every configuration of a space of choices, once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler

from automl_images.core.errors import SettingsError
from automl_images.sweep.distributions import Choice
from automl_images.sweep.space import BRANCH, SearchSpace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class GridSampler(BaseSampler):
    """Takes the first configuration that no other trial of the study has, in the order of the file.

    Branch after branch; within a branch the last hyper-parameter changes fastest.

    Args:
        space: of choices and literals.

    Raises:
        SettingsError: something else is drawn.
    """

    def __init__(self, space: SearchSpace) -> None:
        for index, branch in enumerate(space.branches):
            for name, distribution in branch.sampled.items():
                if not isinstance(distribution, Choice):
                    raise SettingsError(
                        f"search_space[{index}].{name}: grid sampling takes choice and literals only. List the values "
                        "in a choice, or set sweep.sampling_algorithm to random or bayesian."
                    )
        self._space = space

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters of each configuration, as the study stores them."""
        for index, branch in enumerate(self._space.branches):
            first = {BRANCH: index} if BRANCH in self._space.parameters else {}
            names = list(branch.names.values())
            choices = [d.points for d in branch.sampled.values() if isinstance(d, Choice)]
            for values in itertools.product(*choices):
                yield first | dict(zip(names, values, strict=True))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of the trial's configuration."""
        return {name: CategoricalDistribution(self._choices(name)) for name in self._next(study, trial)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the trial's configuration.

        Raises:
            SettingsError: every configuration was asked for.
        """
        return self._next(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the first value of a parameter that only a trial with fixed parameters comes to."""
        return self._choices(param_name)[0]

    def _choices(self, name: str) -> tuple[Any, ...]:
        distribution = self._space.parameters[name]
        return distribution.points if isinstance(distribution, Choice) else ()

    def _next(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        taken = {frozenset(t.params.items()) for t in others}
        for point in self.points():
            if frozenset(point.items()) not in taken:
                return point
        raise SettingsError(f"The grid has {self._space.size} configurations, and all of them were tried.")
