"""From a job's parameters to the requests of its trials, and to what makes two jobs the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
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
from automl_images.sweep.space import check, sample
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.base import TaskAdapter

FindCheckpoint = Callable[[str, Mapping[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """What one trial trains: a model and all its hyper-parameters."""

    model_name: str
    hyperparameters: dict[str, Any]


def configurations(options: JobOptions, task: TaskAdapter) -> list[Configuration]:
    """Return one configuration a trial; without a search space all would be equal, so there is one.

    Raises:
        SettingsError: a hyper-parameter or model is unknown, out of range or does not fit the model.
    """
    check(options.search_space)
    fixed = canonical(options.training_parameters)
    seed = options.sweep.sampling_algorithm.seed
    result = []
    for number in range(options.limits.max_trials if options.search_space else 1):
        chosen = {**fixed, **canonical(sample(options.search_space, seed, number))}
        model_name = str(chosen.get("model_name") or task.default_model)
        catalogue.find(task.name, model_name)
        result.append(Configuration(model_name, resolve(task.name, model_name, chosen)))
    return result


def trial_requests(
    options: JobOptions,
    task: TaskAdapter,
    training: Table,
    validation: Table,
    augmentation_plan: Mapping[str, Any],
    find_checkpoint: FindCheckpoint,
) -> list[TrialRequest]:
    """Return one request for each trial of the job.

    Args:
        options: of the job.
        task: its adapter.
        training, validation: saved tables.
        augmentation_plan: of all styles.
        find_checkpoint: puts the file of a checkpoint into the hyper-parameters of a model.
    """
    if training.path is None or validation.path is None:
        raise JobError("The tables must be saved before trials can read them; run the stage validation_split.")
    same: dict[str, Any] = {
        "task": task.name,
        "classes": class_names([*training.rows, *validation.rows], task.label_kind),
        "training_table": str(training.path.absolute()),
        "validation_table": str(validation.path.absolute()),
        "data_hash": data_hash(training.rows, validation.rows),
        "augmentation_plan": dict(augmentation_plan),
        "primary_metric": task.primary_metric,
    }
    return [
        TrialRequest(
            number=n, model_name=c.model_name, hyperparameters=find_checkpoint(c.model_name, c.hyperparameters), **same
        )
        for n, c in enumerate(configurations(options, task))
    ]


def about_job(options: JobOptions, first: TrialRequest, augmentation_plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a job this job: equal values mean equal work, whatever the limits are."""
    return {
        "task": options.task,
        "data": first.data_hash,
        "training_parameters": options.training_parameters,
        "search_space": options.search_space,
        "sweep": options.sweep.model_dump(mode="json"),
        "first_trial": {"model_name": first.model_name, **first.hyperparameters},
        "augmentation_plan": dict(augmentation_plan),
        "weights": _weights_hash(first.hyperparameters["weights"]),
    }


def _weights_hash(path: str | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise SettingsError(f"There is no file of weights at {path}; correct training_parameters.weights.")
    return sha256(path)
