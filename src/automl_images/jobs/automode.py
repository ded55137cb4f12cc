"""AutoMode of a job: gathers recipes for its data and this machine, probes their models, and plans.

What is decided from the probes stands in `sweep/automode/`; here it meets tasks, models and the job's parameters.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from automl_images.core.errors import SettingsError
from automl_images.core.events import EventLog
from automl_images.core.files import fingerprint, read_json, write_json
from automl_images.core.hyperparameters import canonical
from automl_images.core.types import Table
from automl_images.data.summary import summarise
from automl_images.jobs.options import JobOptions, LimitOptions
from automl_images.jobs.trials import Requests, configuration
from automl_images.models.entries.entry import MODELS
from automl_images.models.weights import may_be_had
from automl_images.sweep.automode.deciding import Candidate, extend_plan, make_plan, with_costs
from automl_images.sweep.automode.plan import AutoModePlan, PlannedRecipe, predicted
from automl_images.sweep.automode.portfolio import DataFacts, Hardware, Recipe, hardware_class, held, parse_portfolio
from automl_images.sweep.automode.probe import Probe, run_probe
from automl_images.sweep.budget import PROBED
from automl_images.sweep.executors import python_command, visible_devices
from automl_images.sweep.trials import DEFAULT_RECIPE, EVENTS, TrialRequest
from automl_images.tasks.base import TaskAdapter
from automl_images.training.threads import cores_per_trial, environment_for_trial, trials_at_once

LOG = logging.getLogger(__name__)
PLAN, PROBES = "automode.json", "probes"
PROGRAM = "automl_images.tasks.run_probe"
PROBE_SECONDS = 600.0
PROBE_SHARE, DEFAULT_PROBE_SHARE = 0.2, 0.5
"""Largest share that one probe may take of the time that the default recipe leaves; that of the default itself."""
_RATES = ("learning_rate", "weight_decay")
"""What is searched around a recipe that does not say what to search."""
_COSTLY = ("model_size", "image_size", "min_size", "max_size", "training_crop_size", "training_batch_size")
"""Hyper-parameters by which the cost of a model differs."""


def recipes_for(options: JobOptions, task: TaskAdapter, portfolio: Mapping[str, Any] | None) -> list[Recipe]:
    """Return the default recipe of the job and those of the portfolio that its fixed parameters leave open.

    A recipe that names another value than `training_parameters` fixes is left out: what the user fixed holds.

    Args:
        options: of the job.
        task: its adapter.
        portfolio: task to recipes, as in `conf/base/parameters_portfolio.yml`.

    Raises:
        SettingsError: the portfolio or a parameter of the job is not legal.
    """
    known_recipes = parse_portfolio(f"portfolio.{task.name}", (portfolio or {}).get(task.name))
    fixed = _fixed(options)
    chosen = configuration(options, task, {})
    same_model = [r for r in known_recipes if r.hyperparameters["model_name"] == chosen.model_name]
    around = (held(_open(recipe.search, fixed), chosen.hyperparameters) for recipe in same_model)
    search = next(filter(None, around), {})  # a better rate may be searched where the default's own is not
    known = {name: chosen.hyperparameters[name] for name in search}
    first = Recipe(name=DEFAULT_RECIPE, hyperparameters={"model_name": chosen.model_name, **known}, search=dict(search))
    others = [recipe for recipe in known_recipes if _agrees(recipe, fixed)]
    return [first, *(recipe.model_copy(update={"search": _open(recipe.search, fixed)}) for recipe in others)]


def suiting(recipes: Sequence[Recipe], facts: DataFacts, hardware: Hardware) -> tuple[list[Recipe], list[Recipe]]:
    """Return the recipes for this data on this hardware, the default always, and those for others."""
    suited = [r for r in recipes if r.name == DEFAULT_RECIPE or (hardware in r.hardware and r.when.hold(facts))]
    return suited, [recipe for recipe in recipes if recipe not in suited]


def data_facts(training: Table, validation: Table, kind: str) -> DataFacts:
    """Return what AutoMode looks at; `kind` is the task's kind of labels."""
    summary = summarise(training.rows, kind, [])
    sizes = summary.get("image_sizes") or {}
    return DataFacts(
        training_images=len(training.rows),
        validation_images=len(validation.rows),
        classes=len(summary["classes"]),
        image_side=max((sizes[side]["median"] for side in sizes), default=0.0),
        object_side=(summary.get("box_sizes") or {}).get("side", {}).get("median", 0.0),
    )


def plan_automode(
    folder: Path,
    requests: Requests,
    recipes: Sequence[Recipe],
    seconds_left: float,
    ended: Callable[[], Sequence[bool]] = tuple,
) -> AutoModePlan:
    """Return the plan of a job: a new one after probing every distinct model, or the one it has.

    Where the job's limits were raised since, what the plan left out is looked at again.

    Args:
        folder: of the job.
        requests: makes the requests of trials.
        recipes: the default first.
        seconds_left: of the job.
        ended: tells for each trial that was asked for, in the order of numbers, whether it ended.

    Raises:
        SettingsError: no recipe can be tried.
    """
    if (folder / PLAN).is_file():
        return _taken_up(folder, requests, seconds_left, ended)
    facts = data_facts(requests.training, requests.validation, requests.task.label_kind)
    suited, others = suiting(recipes, facts, hardware_class())
    LOG.info("AutoMode: %s; %d recipes to look at, one probe a model.", _words(facts), len(suited))
    if others:
        LOG.info("AutoMode: for other data or hardware: %s.", ", ".join(recipe.name for recipe in others))
    begun, limits = time.monotonic(), requests.options.limits
    configured = list(_configured(requests, suited))
    slots = _slots(limits, [candidate for candidate in configured if not candidate.problem])
    candidates = list(_probed(folder, requests, configured, facts, slots, seconds_left))
    seconds_left -= _note_probing(folder, begun)
    minutes, memory = _fixed(requests.options).get("max_training_minutes"), _memory_of_a_trial(slots)
    plan = make_plan(candidates, facts, limits.max_trials, slots, seconds_left, memory, minutes, limits.timeout_minutes)
    for line in plan.table():
        LOG.info("AutoMode: %s", line)
    if not plan.tried:
        raise SettingsError(
            "AutoMode found nothing that can be tried here:\n  "
            + "\n  ".join(plan.table())
            + "\nChoose another model_name, or raise limits.timeout_minutes."
        )
    _keep(folder, plan)
    return plan


def considered(folder: Path) -> list[dict[str, Any]] | None:
    """Return what AutoMode looked at for a job, in order, for the report; None for a job without AutoMode.

    Returns:
        One entry a recipe: `name`, `model_name`, `seconds_per_epoch` and `memory_bytes` (None: not measured), `epochs`
        (0: left out), `epochs_asked`, `seconds` (predicted, of the whole trial) and `reason`.
    """
    if not (folder / PLAN).is_file():
        return None
    return [recipe.as_row() for recipe in AutoModePlan.from_dict(read_json(folder / PLAN)).recipes]


def _taken_up(
    folder: Path, requests: Requests, seconds_left: float, ended: Callable[[], Sequence[bool]]
) -> AutoModePlan:
    """Return the plan that the job has; after its limits were raised, with what was left out decided about again."""
    plan, limits = AutoModePlan.from_dict(read_json(folder / PLAN)), requests.options.limits
    if not plan.is_for_less(limits.max_trials, limits.timeout_minutes):
        return plan
    begun, slots = time.monotonic(), _slots(limits, plan.branches)
    trials = {recipe.name: recipe.trial for recipe in plan.branches}
    if unknown := [r for r in plan.branches if r.trial is None and r.seconds_per_epoch is None]:
        facts = data_facts(requests.training, requests.validation, requests.task.label_kind)
        again = [Candidate(r.name, r.configuration, r.search, r.epochs_asked, None) for r in unknown]
        probed = _probed(folder, requests, again, facts, slots, seconds_left)
        plan = with_costs(plan, list(probed), facts)
        seconds_left -= _note_probing(folder, begun)
    plan = extend_plan(
        plan, limits.max_trials, limits.timeout_minutes, slots, seconds_left, ended(), _memory_of_a_trial(slots)
    )
    for line, recipe in zip(plan.table(), plan.recipes, strict=True):
        if recipe.in_space and (trials[recipe.name] is None or trials[recipe.name] != recipe.trial):
            LOG.info("AutoMode, as limits were raised: %s", line)
    _keep(folder, plan)
    return plan


def _keep(folder: Path, plan: AutoModePlan) -> None:
    write_json(folder / PLAN, plan.as_dict())
    shutil.rmtree(folder / PROBES, ignore_errors=True)


def _note_probing(folder: Path, begun: float) -> float:
    """Return the seconds since probing began, which count as work of the job."""
    probing = time.monotonic() - begun
    EventLog(folder / EVENTS).write(PROBED, elapsed=round(probing, 2))
    return probing


def _slots(limits: LimitOptions, recipes: Sequence[Candidate | PlannedRecipe]) -> int:
    """Return how many trials there will be at once, at most: with nothing to search no more than recipes."""
    most = limits.max_trials if any(recipe.search for recipe in recipes) else min(limits.max_trials, len(recipes))
    return trials_at_once(limits.max_concurrent_trials, most, len(visible_devices()))


def _configured(requests: Requests, recipes: Sequence[Recipe]) -> Iterator[Candidate]:
    """Yield every recipe with its values and its search, not yet probed; equal configurations are looked at once."""
    seen = set()
    for recipe in recipes:
        values = dict(recipe.hyperparameters)
        try:
            request = requests(0, values)
        except SettingsError as error:
            yield Candidate(recipe.name, values, {}, 1, None, str(error).splitlines()[0])
            continue
        identity = fingerprint([request.model_name, request.hyperparameters])
        if identity in seen:
            continue
        seen.add(identity)
        search = recipe.search or _around(_open(request.hyperparameters, _fixed(requests.options)))
        values |= {name: request.hyperparameters[name] for name in search}
        problem = "" if recipe.name == DEFAULT_RECIPE else _without_weights(request.model_name)
        yield Candidate(recipe.name, values, search, int(request.hyperparameters["number_of_epochs"]), None, problem)


def _probed(
    folder: Path,
    requests: Requests,
    candidates: Sequence[Candidate],
    facts: DataFacts,
    slots: int,
    seconds_left: float,
) -> Iterator[Candidate]:
    """Yield the candidates with what their models cost. What the default recipe leaves no time for is not probed."""
    environment = environment_for_trial(cores_per_trial(slots))
    end = time.monotonic() + seconds_left
    for candidate in candidates:
        is_default, left, probe = candidate.name == DEFAULT_RECIPE, end - time.monotonic(), None
        if candidate.problem:
            yield candidate
            continue
        note = "" if left > 0 else "the default recipe leaves no time"
        if not note:
            limit = min(PROBE_SECONDS, (DEFAULT_PROBE_SHARE if is_default else PROBE_SHARE) * left)
            probe, note = _probe(folder / PROBES, requests(0, candidate.configuration), environment, limit)
        if is_default and probe is not None and slots == 1:
            end -= predicted(probe.startup_seconds, probe.seconds_per_epoch(facts), candidate.epochs)
        yield dataclasses.replace(candidate, probe=probe, note=note)


def _probe(
    folder: Path, request: TrialRequest, environment: Mapping[str, str], limit: float
) -> tuple[Probe | None, str]:
    """Measure the request's model in at most so many seconds; recipes that cost the same share a probe."""
    costly = {name: request.hyperparameters.get(name) for name in _COSTLY}
    place = folder / fingerprint({**costly, "model_name": request.model_name})[:12]
    place.mkdir(parents=True, exist_ok=True)
    request.save(place)
    return run_probe(place, python_command(PROGRAM)(place), environment, limit)


def _memory_of_a_trial(slots: int) -> float:
    """Return the bytes that each of so many trials at once can have: of a GPU where there is one."""
    import torch

    if not torch.cuda.is_available():
        return float(psutil.virtual_memory().available) / slots
    sharing = math.ceil(slots / torch.cuda.device_count())
    return float(torch.cuda.get_device_properties(0).total_memory) / sharing


def _around(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a search around the first rate that is open: from a third of it to three times as much; none: nothing."""
    name = next((name for name in _RATES if values.get(name)), None)
    if name is None:
        return {}
    low, high = math.log(values[name] / 3), min(0.0, math.log(values[name] * 3))
    return {name: {"type": "loguniform", "min_value": low, "max_value": high}}


def _fixed(options: JobOptions) -> dict[str, Any]:
    return {name: value for name, value in canonical(options.training_parameters).items() if value is not None}


def _open(values: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in fixed}


def _without_weights(model_name: str) -> str:
    """Return why a model would begin with random weights, or nothing."""
    sources = MODELS.get(model_name).sources if model_name in MODELS else ()
    return "" if any(map(may_be_had, sources)) else "its pretrained weights are not to be had here"


def _agrees(recipe: Recipe, fixed: Mapping[str, Any]) -> bool:
    given = canonical(recipe.hyperparameters)
    return all(given.get(name, value) == value for name, value in fixed.items())


def _words(facts: DataFacts) -> str:
    parts = [f"{facts.training_images} training images", f"{facts.classes} classes"]
    if facts.image_side:
        parts.append(f"images of {facts.image_side:.0f} pixels")
    if facts.object_side:
        parts.append(f"objects of {facts.object_side:.0f} pixels")
    return ", ".join(parts)
