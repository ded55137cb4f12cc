"""Bayesian sampling: a Gaussian process a branch, and a fixed share of the trials for each branch by its rank.

The process is Optuna's (Matérn kernel with one length scale a parameter, log expected improvement after Ament et al.
2023; running trials count by what is expected of them). On the surfaces of `benchmarks/samplers.py` it is better than
tree-structured Parzen estimators, which in conditional spaces were no better than chance. A process over all branches
at once settles on the branch that happened to be lucky; ranks and shares do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler
from optuna.trial import FixedTrial, TrialState

from automl_images.sweep.samplers.random import RandomSampler
from automl_images.sweep.space import BRANCH, SearchSpace

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10
"""So many trials are drawn at random before the first is chosen by what came of others."""

LEAST_IN_BRANCH = 4
"""So many trials of a branch must have ended before its values are chosen by what came of them."""

MOST_STEPS = 10_000
"""The process keeps every value of a grid; a finer one is a line to it, and its point the value beside that."""


class BayesianSampler(BaseSampler):
    """Draws at random at first, the branches in turn; then goes where the process expects the largest improvement.

    From then on the branch with the best trial gets twice as many trials as the second best, that one twice as many as
    the third and so on: no branch is given up for one unlucky draw, and few trials go to bad ones. Trials that were
    stopped early count by their best value, as others do; failed ones only as tried. The study maximises.

    Args:
        space: that the trials are asked for.
        seed: of the sweep.
        startup_trials: trials that must have ended before what came of them counts.
        is_open: tells whether a branch may be drawn now; where none may, all may.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        startup_trials: int = STARTUP_TRIALS,
        is_open: Callable[[int], bool] = lambda branch: True,
    ) -> None:
        self._space = space
        self._seed = seed
        self._startup_trials = startup_trials
        self._is_open = is_open
        self._random = RandomSampler(space, seed)
        middle = FixedTrial({name: distribution.at(0.5) for name, distribution in space.parameters.items()})
        for name, distribution in space.parameters.items():
            distribution.ask(middle, name)
        self._distributions = middle.distributions

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters: all that the trial could be asked for."""
        return dict(self._distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the branch, and its points where enough trials of it have ended."""
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        started = sum(t.state.is_finished() for t in others) >= self._startup_trials
        chosen: dict[str, Any] = {}
        if BRANCH in self._distributions:
            chosen[BRANCH] = self._branch(others, by_rank=started)
        mine = [t for t in others if t.params.get(BRANCH, 0) == chosen.get(BRANCH, 0)]
        if started and sum(_score(t) is not None for t in mine) >= LEAST_IN_BRANCH:
            chosen |= self._improvement(mine, chosen.get(BRANCH, 0), trial.number)
        return chosen

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random point of another parameter."""
        return self._random.draw(trial.number, param_name)

    def _branch(self, others: Iterable[FrozenTrial], by_rank: bool) -> int:
        """Return the branch that lacks most of its share of the trials."""
        number = len(self._space.branches)
        tried, best = [0] * number, [-math.inf] * number
        for trial in others:
            if BRANCH in trial.params:
                index = trial.params[BRANCH]
                score = _score(trial)
                tried[index] += 1
                best[index] = max(best[index], -math.inf if score is None else score)
        choice = [index for index in range(number) if self._is_open(index)] or list(range(number))
        if not by_rank:
            return min(choice, key=lambda index: tried[index])
        ranked = sorted(range(number), key=lambda index: -best[index])
        whole = (sum(tried) + 1) / (2 - 2 ** (1 - number))
        lacks = {index: whole / 2**rank - tried[index] for rank, index in enumerate(ranked)}
        return max((index for index in ranked if index in choice), key=lambda index: lacks[index])

    def _improvement(self, trials: Iterable[FrozenTrial], branch: int, number: int) -> dict[str, Any]:
        """Return the points of a branch's parameters that promise most after its trials."""
        names = set(self._space.branches[branch].names.values())
        distributions = {n: _loose(d) for n, d in self._distributions.items() if n in names and not d.single()}
        if not distributions:
            return {}
        # A process of its own for each trial: its choice does not depend on how many were made before it.
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        study = optuna.create_study(direction="maximize", sampler=GPSampler(seed=seed, n_startup_trials=0))
        for trial in trials:
            score = _score(trial)
            if distributions.keys() <= trial.params.keys() and (score is not None or not trial.state.is_finished()):
                study.add_trial(
                    optuna.create_trial(
                        state=TrialState.RUNNING if score is None else TrialState.COMPLETE,
                        value=score,
                        params={name: trial.params[name] for name in distributions},
                        distributions=distributions,
                    )
                )
        points = study.ask(distributions).params
        fine = (name for name in points if distributions[name] != self._distributions[name])
        return points | {name: self._space.parameters[name].value(points[name]) for name in fine}


def _loose(distribution: BaseDistribution) -> BaseDistribution:
    """Return a distribution that the process can hold."""
    if not isinstance(distribution, FloatDistribution | IntDistribution) or distribution.step is None:
        return distribution
    low, high = float(distribution.low), float(distribution.high)
    return FloatDistribution(low, high) if (high - low) / distribution.step > MOST_STEPS else distribution


def _score(trial: FrozenTrial) -> float | None:
    """Return the value of a trial that ended; None: it runs, or failed, or was stopped before its first value."""
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or not trial.values:
        return None
    return trial.values[0] if math.isfinite(trial.values[0]) else None
