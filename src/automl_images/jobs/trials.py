"""From a job's parameters to the requests of its trials, and to what makes two jobs the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl_images.core.errors import JobError, SettingsError
from automl_images.core.files import sha256
from automl_images.core.hyperparameters import canonical, resolve
from automl_images.core.types import Table
from automl_images.data.mltable import class_names
from automl_images.data.splitting import data_hash
from automl_images.jobs.options import JobOptions
from automl_images.models import catalogue
from automl_images.models.entries.entry import MODELS, pretrained_here
from automl_images.models.weights import may_be_had
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.base import TaskAdapter

FindCheckpoint = Callable[[str, Mapping[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """What one trial trains: a model and all its hyper-parameters."""

    model_name: str
    hyperparameters: dict[str, Any]


def configurations(
    options: JobOptions, task: TaskAdapter, recipes: Sequence[Mapping[str, Any]] = ()
) -> list[Configuration]:
    """Return configurations that together meet every model and every end of the search space, for checks and plans.

    Args:
        options: of the job.
        task: its adapter.
        recipes: hyper-parameters that AutoMode may try besides.

    Raises:
        SettingsError: a hyper-parameter or model is unknown, out of range or does not fit the model.
    """
    examples = options.space.examples() if options.search_space else iter([{}])
    return [configuration(options, task, example) for example in (*examples, *recipes)]


def configuration(options: JobOptions, task: TaskAdapter, chosen: Mapping[str, Any]) -> Configuration:
    """Return what a trial trains: what was chosen for it, else what the job fixes, else the defaults.

    Raises:
        SettingsError: a hyper-parameter or model is unknown, out of range or does not fit the model.
    """
    given = {**canonical(options.training_parameters), **canonical(chosen)}
    model_name = str(given.get("model_name") or default_model(options, task))
    catalogue.find(task.name, model_name)
    return Configuration(model_name, resolve(task.name, model_name, given))


def default_model(options: JobOptions, task: TaskAdapter) -> str:
    """Return the model of a job that names none: the task's.

    In AutoMode, which is free to choose, it is one with pretrained weights on this machine where those of the task's
    model cannot be had: one that begins at random is no measure for others.
    """
    if not options.is_automode or any(map(may_be_had, MODELS.get(task.default_model).sources)):
        return task.default_model
    return next(iter(pretrained_here(task.name)), task.default_model)


def _no_recipe(number: int) -> str:
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Requests:
    """Turns configurations into the requests of trials.

    Attributes:
        options: of the job.
        task: its adapter.
        training, validation: saved tables.
        augmentation_plan: of all styles.
        find_checkpoint: puts the file of a checkpoint into the hyper-parameters of a model.
        recipe_of: name of AutoMode's recipe of a trial.
    """

    options: JobOptions
    task: TaskAdapter
    training: Table
    validation: Table
    augmentation_plan: Mapping[str, Any]
    find_checkpoint: FindCheckpoint
    recipe_of: Callable[[int], str] = _no_recipe
    _same: dict[str, Any] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Compute what all requests share, once."""
        if self.training.path is None or self.validation.path is None:
            raise JobError("The tables must be saved before trials can read them; run the stage validation_split.")
        same = {
            "task": self.task.name,
            "classes": class_names([*self.training.rows, *self.validation.rows], self.task.label_kind),
            "training_table": str(self.training.path.absolute()),
            "validation_table": str(self.validation.path.absolute()),
            "data_hash": data_hash(self.training.rows, self.validation.rows),
            "augmentation_plan": dict(self.augmentation_plan),
            "primary_metric": self.task.primary_metric,
        }
        object.__setattr__(self, "_same", same)

    def __call__(self, number: int, chosen: Mapping[str, Any]) -> TrialRequest:
        """Return the request of trial `number`.

        Raises:
            SettingsError: no model can have this configuration.
        """
        found = configuration(self.options, self.task, chosen)
        values = self.find_checkpoint(found.model_name, found.hyperparameters)
        return TrialRequest(
            number=number,
            model_name=found.model_name,
            hyperparameters=values,
            recipe=self.recipe_of(number),
            **self._same,
        )


def about_job(options: JobOptions, first: TrialRequest, augmentation_plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a job this job: equal values mean equal work, whatever the limits are.

    Which models AutoMode finds weights for may change from day to day; the job stays the same.
    """
    is_free = options.is_automode and not canonical(options.training_parameters).get("model_name")
    return {
        "task": options.task,
        "automode": options.is_automode,
        "data": first.data_hash,
        "training_parameters": options.training_parameters,
        "search_space": options.search_space,
        "sweep": options.sweep.model_dump(mode="json"),
        "first_trial": None if is_free else {"model_name": first.model_name, **first.hyperparameters},
        "augmentation_plan": None if is_free else dict(augmentation_plan),
        "weights": _weights_hash(first.hyperparameters["weights"]),
    }


def _weights_hash(path: str | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise SettingsError(f"There is no file of weights at {path}; correct training_parameters.weights.")
    return sha256(path)
