"""What AutoMode will try: which recipes, in which order, each in which trial, and what is searched after them.

Blind to tasks. Who decides stands in `deciding.py`. How many epochs a recipe can have is a guess: where time is short,
a trial is told how much of it there is, and ends in time with a low learning rate. The plan is kept with the job; a
resumed one goes on with it. Every recipe that may ever be tried has its branch of the space from the start, as the
space of a study can never change.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

from automl_images.core.hyperparameters import canonical
from automl_images.sweep.space import BRANCH, SearchSpace

LEAST_EPOCHS, LEAST_MINUTES = 3, 0.01
LEAST_SHARE = 0.4
"""A recipe that would get less than this share of its epochs is left out rather than half trained."""
MARGIN = 1.15
"""Predictions are multiplied by it: machines are shared, and late epochs are rarely faster than the probe."""
SHORT = 1.5
"""Time is short when there is less than so many times what is predicted; a trial is then told how much there is."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe and what becomes of it.

    Attributes:
        epochs: that it is predicted to come to; 0: it is left out.
        epochs_asked: that it has with time enough.
        seconds_per_epoch, startup_seconds: predicted, without margin; None: unknown.
        memory_bytes: peak of the probe's process, on the GPU where there is one; None: unknown.
        reason: why it is left out or shortened.
        in_space: whether it may ever be tried, so that it has a branch of the space.
        trial: number of the trial that tries it; None: it is left out.
    """

    name: str
    configuration: dict[str, Any]
    search: dict[str, Any]
    epochs: int
    epochs_asked: int
    seconds_per_epoch: float | None
    startup_seconds: float | None
    memory_bytes: int | None
    reason: str = ""
    in_space: bool = True
    trial: int | None = None

    @property
    def seconds(self) -> float:
        """Return the predicted length of a trial with its epochs, margin included."""
        return predicted(self.startup_seconds or 0.0, self.seconds_per_epoch or 0.0, self.epochs)

    @property
    def least_seconds(self) -> float:
        """Return the predicted length of the shortest trial of it that is worth beginning."""
        epochs = min(self.epochs or self.epochs_asked, least_epochs(self.epochs_asked))
        return predicted(self.startup_seconds or 0.0, self.seconds_per_epoch or 0.0, epochs)

    def as_row(self) -> dict[str, Any]:
        """Return what people are told of it."""
        return {
            "name": self.name,
            "model_name": self.configuration["model_name"],
            "seconds_per_epoch": self.seconds_per_epoch,
            "memory_bytes": self.memory_bytes,
            "epochs": self.epochs,
            "epochs_asked": self.epochs_asked,
            "seconds": self.seconds,
            "reason": self.reason,
        }

    def leads_to(self, configuration: Mapping[str, Any]) -> bool:
        """Tell whether a configuration lies in the recipe's branch of the space."""
        open_names = {*self.search, "number_of_epochs"}
        return all(configuration.get(k) == v for k, v in canonical(self.configuration).items() if k not in open_names)


@dataclasses.dataclass(frozen=True, slots=True)
class AutoModePlan:
    """What AutoMode will try, in order; the default recipe comes first where it fits.

    Attributes:
        recipes: all that were considered.
        budget_seconds: of the job when it was planned, with what its limit was raised by later; None: no limit.
        trial_minutes: that the user lets a trial train; None: no limit.
        max_trials, timeout_minutes: limits of the job that it was planned with; None: unknown.
    """

    recipes: tuple[PlannedRecipe, ...]
    budget_seconds: float | None
    trial_minutes: float | None = None
    max_trials: int | None = None
    timeout_minutes: float | None = None

    @property
    def tried(self) -> list[PlannedRecipe]:
        """Return the recipes that fit, in the order of their trials."""
        numbered = {recipe.trial: recipe for recipe in self.recipes if recipe.trial is not None}
        return [numbered[trial] for trial in sorted(numbered)]

    @property
    def branches(self) -> list[PlannedRecipe]:
        """Return the recipes that have a branch of the space, in the order of the branches."""
        return [recipe for recipe in self.recipes if recipe.in_space]

    def space(self) -> SearchSpace:
        """Return the space of all recipes that fit or may fit larger limits: one branch each."""
        return SearchSpace.parse([self._branch(recipe) for recipe in self.branches])

    def starts(self) -> dict[int, dict[str, Any]]:
        """Return for each trial that tries a recipe the recipe's own point, by parameter name of the study."""
        space, found = self.space(), {}
        for index, (recipe, branch) in enumerate(zip(self.branches, space.branches, strict=True)):
            points = {branch.names[name]: recipe.configuration[name] for name in branch.sampled}
            if recipe.trial is not None:
                found[recipe.trial] = {BRANCH: index, **points} if BRANCH in space.parameters else points
        return found

    def name_of(self, trial_number: int) -> str:
        """Return the recipe that trial `trial_number` tries, or `search`."""
        return next((recipe.name for recipe in self.tried if recipe.trial == trial_number), "search")

    def is_open(self, branch: int, seconds_left: float) -> bool:
        """Tell whether the search may draw a branch: of a recipe that fits the time, or is tried where none fits."""
        fitting = [recipe for recipe in self.tried if recipe.least_seconds <= seconds_left]
        return self.branches[branch] in (fitting or self.tried)

    def is_for_less(self, trials: int, timeout_minutes: float) -> bool:
        """Tell whether the limits of the job are larger than those it was planned with."""
        more_trials = self.max_trials is not None and trials > self.max_trials
        return more_trials or (self.timeout_minutes is not None and timeout_minutes > self.timeout_minutes)

    def minutes_for(self, configuration: Mapping[str, Any], seconds_left: float | None) -> float | None:
        """Return the minutes that a trial has; None where nobody limits it and there is time enough for all epochs."""
        matching = [recipe for recipe in self.tried if recipe.leads_to(configuration)]
        recipe = max(matching, key=lambda recipe: len(recipe.configuration))  # the default's is part of many others
        startup, per_epoch = recipe.startup_seconds or 0.0, recipe.seconds_per_epoch or math.inf
        needed = predicted(startup, per_epoch, int(configuration["number_of_epochs"]))
        if seconds_left is None or seconds_left >= SHORT * needed:
            return self.trial_minutes
        left = max(LEAST_MINUTES, round((seconds_left - startup) / 60, 2))
        return left if self.trial_minutes is None else min(left, self.trial_minutes)

    def least_seconds(self) -> float:
        """Return how long the shortest trial that is worth beginning takes.

        Where the time is too short for any it is half of the time, so that one begins and no other.
        """
        least = min((recipe.least_seconds for recipe in self.tried), default=0.0)
        return least if self.budget_seconds is None or least <= self.budget_seconds else self.budget_seconds / 2

    def most_trials(self, trials: int) -> int:
        """Return how many of so many trials there are to make: with nothing to search up to the last recipe's."""
        last = max((recipe.trial for recipe in self.tried if recipe.trial is not None), default=-1)
        return trials if any(recipe.search for recipe in self.tried) else min(trials, last + 1)

    def table(self) -> list[str]:
        """Return lines for people: each recipe, what it costs and whether it is tried."""
        lines = []
        for recipe in self.recipes:
            cost = (
                "not measured"
                if recipe.seconds_per_epoch is None
                else f"{recipe.seconds_per_epoch:.1f} s an epoch, {(recipe.memory_bytes or 0) / 2**30:.1f} GiB"
            )
            length = "" if recipe.seconds_per_epoch is None else f", about {recipe.seconds / 60:.1f} min"
            verdict = f"{recipe.epochs} epochs{length}" if recipe.epochs else "left out"
            reason = f" ({recipe.reason})" if recipe.reason else ""
            lines.append(f"{recipe.name}: {recipe.configuration['model_name']}, {cost}: {verdict}{reason}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AutoModePlan:
        """Return the plan that `as_dict` described; an older one knows neither trials nor limits and stays as it is."""
        number, recipes = itertools.count(), []
        for recipe in values["recipes"]:
            older = {"in_space": recipe["epochs"] > 0, "trial": next(number) if recipe["epochs"] else None}
            recipes.append(PlannedRecipe(**{**older, **recipe}))
        return cls(**{**values, "recipes": tuple(recipes)})

    def _branch(self, recipe: PlannedRecipe) -> dict[str, Any]:
        return {**recipe.configuration, "number_of_epochs": recipe.epochs_asked, **recipe.search}


def predicted(startup_seconds: float, seconds_per_epoch: float, epochs: int) -> float:
    """Return the predicted seconds of a trial, margin included."""
    return MARGIN * (startup_seconds + seconds_per_epoch * epochs)


def least_epochs(epochs: int) -> int:
    """Return the fewest epochs with which a recipe of `epochs` is worth its time."""
    return min(epochs, max(LEAST_EPOCHS, math.ceil(LEAST_SHARE * epochs)))
