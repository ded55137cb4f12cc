"""Nodes of the stage augmentation."""

from __future__ import annotations

from typing import Any

from PIL import Image

from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions


def plan_augmentation(options: JobOptions, portfolio: dict[str, Any] | None) -> dict[str, Any]:
    """Return the augmentation plan of each style that the job's models use."""
    from automl_images.jobs.automode import recipes_for
    from automl_images.jobs.trials import configurations
    from automl_images.tasks import get_task

    task = get_task(options.task)
    recipes = recipes_for(options, task, portfolio) if options.is_automode else []
    plans: dict[str, Any] = {}
    for found in configurations(options, task, [recipe.hyperparameters for recipe in recipes]):
        plans |= task.augmentation_plans({found.model_name: found.hyperparameters})
    return plans


def preview_augmentation(training_data: Table, augmentation_plan: dict[str, Any], options: JobOptions) -> Image.Image:
    """Return a picture of augmented training images with their labels drawn."""
    from automl_images.tasks import get_task

    return get_task(options.task).augmentation_preview(training_data.rows, augmentation_plan, options.random_seed)
