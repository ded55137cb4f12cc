"""What AutoMode will try: which recipes fit the time, with how many epochs, and what is searched after them.

Blind to tasks. A probe (`probe.py`) has measured each model; from that follow seconds an epoch, and from those about
how many epochs every recipe can have. That is a guess: where time is short, a trial is told how much of it there is,
and ends in time with a low learning rate. The plan is kept with the job; a resumed one goes on with it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from automl_images.core.hyperparameters import canonical
from automl_images.sweep.automode.portfolio import DataFacts
from automl_images.sweep.automode.probe import Probe
from automl_images.sweep.space import SearchSpace

LEAST_EPOCHS, LEAST_MINUTES = 3, 0.01
LEAST_SHARE = 0.4
"""A recipe that would get less than this share of its epochs is left out rather than half trained."""
MARGIN = 1.15
"""Predictions are multiplied by it: machines are shared, and late epochs are rarely faster than the probe."""
SHORT = 1.5
"""Time is short when there is less than so many times what is predicted; a trial is then told how much there is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe before it is known whether it fits.

    Attributes:
        name: of the recipe.
        configuration: `model_name` and hyper-parameters that differ from the defaults.
        search: distributions around it.
        epochs: that it asks for.
        probe: what its model costs here; None: the probe failed.
        problem: why it cannot be tried at all; empty: it can.
        note: why nothing is known of its cost.
    """

    name: str
    configuration: dict[str, Any]
    search: dict[str, Any]
    epochs: int
    probe: Probe | None
    problem: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedRecipe:
    """A recipe and what becomes of it.

    Attributes:
        epochs: that it is predicted to come to; 0: it is left out.
        epochs_asked: that it has with time enough.
        seconds_per_epoch, startup_seconds: predicted, without margin; None: unknown.
        memory_bytes: peak of the probe's process, on the GPU where there is one; None: unknown.
        reason: why it is left out or shortened.
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
        budget_seconds: of the job when it was planned; None: no limit.
        trial_minutes: that the user lets a trial train; None: no limit.
    """

    recipes: tuple[PlannedRecipe, ...]
    budget_seconds: float | None
    trial_minutes: float | None = None

    @property
    def tried(self) -> list[PlannedRecipe]:
        """Return the recipes that fit."""
        return [recipe for recipe in self.recipes if recipe.epochs]

    def space(self) -> SearchSpace:
        """Return the space of all recipes that fit: one branch each."""
        return SearchSpace.parse([self._branch(recipe) for recipe in self.tried])

    def starts(self) -> list[dict[str, Any]]:
        """Return for each recipe that fits its own point in the space, by parameter name of the study."""
        space, found = self.space(), []
        for index, (recipe, branch) in enumerate(zip(self.tried, space.branches, strict=True)):
            points = {branch.names[name]: recipe.configuration[name] for name in branch.sampled}
            found.append({"search_space": index, **points} if len(self.tried) > 1 else points)
        return found

    def name_of(self, trial_number: int) -> str:
        """Return the recipe that trial `trial_number` tries, or `search`."""
        return self.tried[trial_number].name if trial_number < len(self.tried) else "search"

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
        """Return how many of so many trials there are to make: with nothing to search one a recipe."""
        return trials if any(recipe.search for recipe in self.tried) else min(trials, len(self.tried))

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
        """Return the plan that `as_dict` described."""
        recipes = tuple(PlannedRecipe(**recipe) for recipe in values["recipes"])
        return cls(recipes, values["budget_seconds"], values.get("trial_minutes"))

    def _branch(self, recipe: PlannedRecipe) -> dict[str, Any]:
        return {**recipe.configuration, "number_of_epochs": recipe.epochs_asked, **recipe.search}


def make_plan(
    candidates: Sequence[Candidate],
    facts: DataFacts,
    trials: int,
    slots: int,
    budget_seconds: float | None,
    memory_bytes: float | None = None,
    trial_minutes: float | None = None,
) -> AutoModePlan:
    """Decide which candidates are tried and with how many epochs: in their order, each in the time that is left.

    The default recipe is always tried, in the time that there is.

    Args:
        candidates: the default recipe first, then by rank.
        facts: of the data.
        trials: most trials; later recipes beyond them are left out.
        slots: trials at once.
        budget_seconds: left for all trials; None: no limit.
        memory_bytes: that a trial may take; None: no limit. The default recipe is tried all the same.
        trial_minutes: that the user lets a trial train; None: no limit.
    """
    planned: list[PlannedRecipe] = []
    for number, candidate in enumerate(candidates):
        left = None
        if budget_seconds is not None:
            taken = sum(r.seconds for r in planned if r.epochs)
            left = max(0.0, min(budget_seconds, budget_seconds * slots - taken))
        if trial_minutes is not None:
            left = min(60.0 * trial_minutes, math.inf if left is None else left)
        recipe = _planned(candidate, facts, left, memory_bytes, is_default=number == 0)
        if recipe.epochs and sum(r.epochs > 0 for r in planned) >= trials:
            recipe = dataclasses.replace(recipe, epochs=0, reason=f"max_trials is {trials}")
        planned.append(recipe)
    return AutoModePlan(tuple(planned), budget_seconds, trial_minutes)


def predicted(startup_seconds: float, seconds_per_epoch: float, epochs: int) -> float:
    """Return the predicted seconds of a trial, margin included."""
    return MARGIN * (startup_seconds + seconds_per_epoch * epochs)


def affordable_epochs(startup_seconds: float, seconds_per_epoch: float, seconds: float) -> int:
    """Return the epochs that fit into a time, margin included."""
    return max(0, math.floor((seconds / MARGIN - startup_seconds) / seconds_per_epoch))


def least_epochs(epochs: int) -> int:
    """Return the fewest epochs with which a recipe of `epochs` is worth its time."""
    return min(epochs, max(LEAST_EPOCHS, math.ceil(LEAST_SHARE * epochs)))


def _planned(
    candidate: Candidate, facts: DataFacts, seconds: float | None, memory_limit: float | None, *, is_default: bool
) -> PlannedRecipe:
    epochs, reason = candidate.epochs, candidate.problem or candidate.note
    per_epoch = startup = memory = None
    if candidate.probe is not None:
        per_epoch, startup = candidate.probe.seconds_per_epoch(facts), candidate.probe.startup_seconds
        memory = candidate.probe.memory_bytes
        if seconds is not None:
            fit = affordable_epochs(startup, per_epoch, seconds)
            if is_default and fit < epochs:
                epochs, reason = _epochs_of_default(epochs, (seconds - startup) / per_epoch)
            elif fit < least_epochs(epochs):
                least = predicted(startup, per_epoch, least_epochs(epochs)) / 60
                reason = f"needs {least:.1f} minutes at least, gets {seconds / 60:.1f}"
            elif fit < epochs:
                epochs, reason = fit, f"shortened from {epochs} epochs to fit the time"
        if memory_limit is not None and memory > memory_limit and not is_default:
            reason = f"needs {memory / 2**30:.1f} GiB, a trial can have {memory_limit / 2**30:.1f}"
    left_out = bool(candidate.problem) or reason.startswith("needs")
    return PlannedRecipe(
        candidate.name,
        candidate.configuration,
        candidate.search,
        0 if left_out else epochs,
        candidate.epochs,
        per_epoch,
        startup,
        memory,
        reason,
    )


def _epochs_of_default(asked: int, fit: float) -> tuple[int, str]:
    """Return the epochs of the default recipe, of which `fit` are predicted to fit, and why.

    Without margin: it is told how much time there is, so that it ends in time in any case.
    """
    epochs = min(asked, max(1, round(fit)))
    reason = "" if epochs == asked else f"shortened from {asked} epochs to fit the time"
    if epochs < least_epochs(asked):
        reason += ", which are few: more time gives a better model"
    return epochs, reason
