"""What is checked of a job before any data is read: its models, their settings, the weights that they begin with.

The parameters' own form is checked earlier, by `options.py` and the table of hyper-parameters.
"""

from __future__ import annotations

import torch

from automl_images.core.tracking import Tracker
from automl_images.jobs.checkpoints import with_checkpoint
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.jobs.trials import configurations
from automl_images.models.catalogue import check_model
from automl_images.sweep.samplers import build_sampler
from automl_images.tasks import get_task
from automl_images.training.settings import require_precision


def check_models(options: JobOptions, jobs: JobStore, tracker: Tracker) -> list[str]:
    """Check that every model that a job may train can be built and find its weights.

    Args:
        options: of the job.
        jobs: of its task.
        tracker: knows runs and registered models.

    Returns:
        Warnings for people, one a model that would begin with random weights.

    Raises:
        SettingsError: a model, hyper-parameter or checkpoint that cannot be had, or that do not suit each other, or a
            search space that the sampling algorithm cannot search.
        ModelError: a file of weights is missing, damaged or of another network.
    """
    task = get_task(options.task)
    device_type = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = {}
    if not options.is_automode:
        build_sampler(options.sampling, options.space)  # refuses what the algorithm cannot search
    for found in configurations(options, task):
        require_precision(found.hyperparameters["mixed_precision"], device_type)
        values = with_checkpoint(found.model_name, found.hyperparameters, jobs, tracker)
        fixed = {name: value for name, value in values.items() if not isinstance(value, float)}  # none shapes a network
        shapes[found.model_name, repr(fixed)] = values
    warnings = [check_model(task.name, model_name, values) for (model_name, _), values in shapes.items()]
    return [warning for warning in dict.fromkeys(warnings) if warning]
