"""Nodes of the stage augmentation."""

from __future__ import annotations

from typing import Any

from PIL import Image

from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions


def plan_augmentation(options: JobOptions) -> dict[str, Any]:
    """Return the augmentation plan of each style that the job's models use.

    Runs first of all, so that a model or hyper-parameter that does not fit is told before any image is read.
    """
    from automl_images.jobs.trials import configurations
    from automl_images.tasks import get_task

    task = get_task(options.task)
    models = {c.model_name: c.hyperparameters for c in configurations(options, task)}
    return task.augmentation_plans(models)


def preview_augmentation(training_data: Table, augmentation_plan: dict[str, Any], options: JobOptions) -> Image.Image:
    """Return a picture of augmented training images with their labels drawn."""
    from automl_images.tasks import get_task

    return get_task(options.task).augmentation_preview(training_data.rows, augmentation_plan, options.random_seed)
