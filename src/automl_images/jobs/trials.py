"""From a job's parameters to the requests of its trials, and to what makes two jobs the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_images.core.errors import JobError
from automl_images.core.hyperparameters import canonical, resolve
from automl_images.core.types import Table
from automl_images.data.mltable import class_names
from automl_images.data.splitting import data_hash
from automl_images.jobs.options import JobOptions
from automl_images.models import catalogue
from automl_images.sweep.space import sample
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.base import TaskAdapter


def trial_requests(
    options: JobOptions, task: TaskAdapter, training: Table, validation: Table, augmentation_plan: Mapping[str, Any]
) -> list[TrialRequest]:
    """Return one request for each trial of the job.

    Args:
        options: of the job; without a search space every trial has the same configuration, so there is one.
        task: its adapter.
        training, validation: saved tables.
        augmentation_plan: of all styles.

    Raises:
        SettingsError: a configuration is not legal for its model.
    """
    if training.path is None or validation.path is None:
        raise JobError("The tables must be saved before trials can read them; run the stage validation_split.")
    count = options.limits.max_trials if options.search_space else 1
    classes = class_names([*training.rows, *validation.rows], task.label_kind)
    fixed = canonical(options.training_parameters)
    seed = options.sweep.sampling_algorithm.seed
    requests = []
    for number in range(count):
        chosen = {**fixed, **canonical(sample(options.search_space, seed, number))}
        model_name = str(chosen.get("model_name") or task.default_model)
        catalogue.find(task.name, model_name)
        requests.append(
            TrialRequest(
                number=number,
                task=task.name,
                model_name=model_name,
                hyperparameters=resolve(task.name, model_name, chosen),
                classes=classes,
                training_table=str(training.path.absolute()),
                validation_table=str(validation.path.absolute()),
                data_hash=data_hash(training.rows, validation.rows),
                augmentation_plan=dict(augmentation_plan),
                primary_metric=task.primary_metric,
            )
        )
    return requests


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
    }
