"""Decides which recipes AutoMode tries and with about how many epochs, from what probes measured and the time there is.

A probe (`probe.py`) has measured each model; from that follow seconds an epoch, and from those about how many epochs
every recipe can have. Owns the decision at the start and the one about what was left out once the limits of the job
are larger; what follows from it for trials and their search is the plan's (`plan.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from automl_images.sweep.automode.plan import MARGIN, AutoModePlan, PlannedRecipe, least_epochs, predicted
from automl_images.sweep.automode.portfolio import DataFacts
from automl_images.sweep.automode.probe import Probe


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe before it is known whether it fits.

    Attributes:
        name: of the recipe.
        configuration: `model_name` and hyper-parameters that differ from the defaults.
        search: distributions around it.
        epochs: that it asks for.
        probe: what its model costs here; None: unknown.
        problem: why it can never be tried; empty: it can.
        note: why nothing is known of its cost.
    """

    name: str
    configuration: dict[str, Any]
    search: dict[str, Any]
    epochs: int
    probe: Probe | None
    problem: str = ""
    note: str = ""


def make_plan(
    candidates: Sequence[Candidate],
    facts: DataFacts,
    trials: int,
    slots: int,
    budget_seconds: float | None,
    memory_bytes: float | None = None,
    trial_minutes: float | None = None,
    timeout_minutes: float | None = None,
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
        timeout_minutes: of the job, to know later whether it was raised; None: nothing will be known.
    """
    recipes = tuple(_undecided(candidate, facts) for candidate in candidates)
    plan = AutoModePlan(recipes, budget_seconds, trial_minutes, trials, timeout_minutes)
    return _decided(plan, slots, budget_seconds, memory_bytes)


def with_costs(plan: AutoModePlan, probed: Sequence[Candidate], facts: DataFacts) -> AutoModePlan:
    """Return the plan with what later probes say of recipes that have no trial; known by their names."""
    found = {candidate.name: candidate for candidate in probed}
    recipes = (_undecided(found[r.name], facts) if r.trial is None and r.name in found else r for r in plan.recipes)
    return dataclasses.replace(plan, recipes=tuple(recipes))


def extend_plan(
    plan: AutoModePlan,
    trials: int,
    timeout_minutes: float,
    slots: int,
    seconds_left: float,
    ended: Sequence[bool],
    memory_bytes: float | None = None,
) -> AutoModePlan:
    """Decide again, with larger limits, about the recipes that were left out; those that fit now come next.

    What was planned stays as it is, numbers of trials and the space, but for a default recipe that was shortened: the
    winner has to beat a whole one, so it is tried once more, and its first trial counts as one of the search.

    Args:
        plan: of the job.
        trials, timeout_minutes: its limits now; smaller ones than it was planned with leave these as they were.
        slots: trials at once.
        seconds_left: of the job.
        ended: for each trial that was asked for, in the order of numbers, whether it ended.
        memory_bytes: that a trial may take; None: no limit.
    """
    most, longest, budget = max(trials, plan.max_trials or 0), plan.timeout_minutes, plan.budget_seconds
    if longest is not None and budget is not None:
        budget += 60 * max(0.0, timeout_minutes - longest)
        longest = max(longest, timeout_minutes)
    raised = dataclasses.replace(plan, max_trials=most, timeout_minutes=longest, budget_seconds=budget)
    return _decided(_with_whole_default(raised, seconds_left, ended), slots, seconds_left, memory_bytes, ended)


def affordable_epochs(startup_seconds: float, seconds_per_epoch: float, seconds: float) -> int:
    """Return the epochs that fit into a time, margin included."""
    return max(0, math.floor((seconds / MARGIN - startup_seconds) / seconds_per_epoch))


def _undecided(candidate: Candidate, facts: DataFacts) -> PlannedRecipe:
    probe = candidate.probe
    return PlannedRecipe(
        candidate.name,
        candidate.configuration,
        candidate.search,
        epochs=0,
        epochs_asked=candidate.epochs,
        seconds_per_epoch=probe.seconds_per_epoch(facts) if probe else None,
        startup_seconds=probe.startup_seconds if probe else None,
        memory_bytes=probe.memory_bytes if probe else None,
        reason=candidate.problem or candidate.note,
        in_space=not candidate.problem,
    )


def _with_whole_default(plan: AutoModePlan, seconds_left: float, ended: Sequence[bool]) -> AutoModePlan:
    """Return the plan with the default recipe undecided where it was asked for in too little time and more fits."""
    default, left = plan.recipes[0], _for_a_trial(plan, seconds_left)
    was_asked = default.trial is not None and default.trial < len(ended)
    is_longer = _default_in(default, left).epochs > default.epochs
    if not was_asked or not is_longer or _next_trial(plan, ended) >= (plan.max_trials or math.inf):
        return plan
    undecided = dataclasses.replace(default, trial=None, reason="")
    return dataclasses.replace(plan, recipes=(undecided, *plan.recipes[1:]))


def _next_trial(plan: AutoModePlan, ended: Sequence[bool]) -> int:
    return max([len(ended), *(recipe.trial + 1 for recipe in plan.tried if recipe.trial is not None)])


def _for_a_trial(plan: AutoModePlan, seconds: float) -> float:
    return min(seconds, math.inf if plan.trial_minutes is None else 60.0 * plan.trial_minutes)


def _decided(
    plan: AutoModePlan,
    slots: int,
    seconds: float | None,
    memory_limit: float | None,
    ended: Sequence[bool] = (),
) -> AutoModePlan:
    """Return the plan with every recipe decided about that has no trial yet, given the seconds left for all trials."""
    number = _next_trial(plan, ended)
    over = {trial for trial, has_ended in enumerate(ended) if has_ended}
    taken = sum(recipe.seconds for recipe in plan.tried if recipe.trial not in over)
    recipes = list(plan.recipes)
    for index, recipe in enumerate(recipes):
        if not recipe.in_space or recipe.trial is not None:
            continue
        left = math.inf if seconds is None else max(0.0, min(seconds, seconds * slots - taken))
        left = _for_a_trial(plan, left)
        found = _default_in(recipe, left) if index == 0 else _fitted(recipe, left, memory_limit)
        if found.epochs and plan.max_trials is not None and number >= plan.max_trials:
            found = dataclasses.replace(found, epochs=0, reason=f"max_trials is {plan.max_trials}")
        elif found.epochs:
            found, number, taken = dataclasses.replace(found, trial=number), number + 1, taken + found.seconds
        recipes[index] = found
    return dataclasses.replace(plan, recipes=tuple(recipes))


def _fitted(recipe: PlannedRecipe, seconds: float, memory_limit: float | None) -> PlannedRecipe:
    """Return another recipe with the epochs that fit, none where it is left out, and why; unknown cost: left out."""
    if recipe.seconds_per_epoch is None:
        return recipe
    asked, epochs, reason = recipe.epochs_asked, recipe.epochs_asked, ""
    startup, per_epoch, memory = recipe.startup_seconds or 0.0, recipe.seconds_per_epoch, recipe.memory_bytes or 0
    fit = affordable_epochs(startup, per_epoch, seconds) if math.isfinite(seconds) else asked
    if memory_limit is not None and memory > memory_limit:
        epochs, reason = 0, f"needs {memory / 2**30:.1f} GiB, a trial can have {memory_limit / 2**30:.1f}"
    elif fit < least_epochs(asked):
        least = predicted(startup, per_epoch, least_epochs(asked)) / 60
        epochs, reason = 0, f"needs {least:.1f} minutes at least, gets {seconds / 60:.1f}"
    elif fit < asked:
        epochs, reason = fit, f"shortened from {asked} epochs to fit the time"
    return dataclasses.replace(recipe, epochs=epochs, reason=reason)


def _default_in(recipe: PlannedRecipe, seconds: float) -> PlannedRecipe:
    """Return the default recipe with the epochs that are predicted to fit; it is never left out."""
    epochs, reason = recipe.epochs_asked, recipe.reason
    startup, per_epoch = recipe.startup_seconds or 0.0, recipe.seconds_per_epoch
    if per_epoch is not None and math.isfinite(seconds) and affordable_epochs(startup, per_epoch, seconds) < epochs:
        epochs, reason = _epochs_of_default(epochs, (seconds - startup) / per_epoch)
    return dataclasses.replace(recipe, epochs=epochs, reason=reason)


def _epochs_of_default(asked: int, fit: float) -> tuple[int, str]:
    """Return the epochs of the default recipe, of which `fit` are predicted to fit, and why.

    Without margin: it is told how much time there is, so that it ends in time in any case.
    """
    epochs = min(asked, max(1, round(fit)))
    reason = "" if epochs == asked else f"shortened from {asked} epochs to fit the time"
    if epochs < least_epochs(asked):
        reason += ", which are few: more time gives a better model"
    return epochs, reason
