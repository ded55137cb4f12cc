"""Nodes of the stage augmentation."""

from __future__ import annotations

from typing import Any

from PIL import Image

from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions
from automl_images.sweep.space import check, model_names


def plan_augmentation(options: JobOptions) -> dict[str, Any]:
    """Return the augmentation plan of each style that the job's models use."""
    from automl_images.tasks import get_task

    task = get_task(options.task)
    check(options.search_space)
    names = model_names(options.search_space, options.training_parameters, task.default_model)
    return task.augmentation_plans(names, options.training_parameters)


def preview_augmentation(training_data: Table, augmentation_plan: dict[str, Any], options: JobOptions) -> Image.Image:
    """Return a picture of augmented training images with their labels drawn."""
    from automl_images.tasks import get_task

    return get_task(options.task).augmentation_preview(training_data.rows, augmentation_plan, options.random_seed)
