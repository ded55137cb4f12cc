"""Nodes of the stage sweep."""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

import pandas as pd

from automl_images.core.tracking import Tracker
from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.tasks import TASKS

LOG = logging.getLogger(__name__)


def run_trials(
    training_data: Table,
    validation_data: Table,
    augmentation_plan: dict[str, Any],
    jobs: JobStore,
    tracker: Tracker,
    options: JobOptions,
    job_name: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every trial of the job that is not finished yet.

    Returns:
        The leaderboard (a row a trial), and the curves (a row for each trial, epoch and metric).
    """
    from automl_images.core.files import fingerprint
    from automl_images.jobs.checkpoints import with_checkpoint
    from automl_images.jobs.trials import about_job, trial_requests
    from automl_images.sweep.controller import TrialController, python_command
    from automl_images.sweep.curves import curves
    from automl_images.tasks import get_task
    from automl_images.training.threads import cores_per_trial, environment_for_trial

    task = get_task(options.task)
    find_checkpoint = functools.partial(with_checkpoint, jobs=jobs, tracker=tracker)
    requests = trial_requests(options, task, training_data, validation_data, augmentation_plan, find_checkpoint)
    about = about_job(options, requests[0], augmentation_plan)
    job, sentence = jobs.open(fingerprint(about), job_name, about)
    LOG.info(sentence)
    job.run_id = tracker.start_job(job.name, options.task, about["training_parameters"], job.run_id)
    job.save()
    concurrent = min(options.limits.max_concurrent_trials, len(requests))
    controller = TrialController(
        job.folder,
        python_command("automl_images.tasks.run_trial"),
        environment_for_trial(cores_per_trial(concurrent)),
        tracker,
        job.run_id,
        concurrent,
        time.monotonic() + 60 * options.limits.timeout_minutes,
        task.primary_metric,
    )
    with job.ending(lambda status: tracker.end(str(job.run_id), status)):
        outcomes = controller.run(requests)
    leaderboard = pd.DataFrame([{"job": job.name, **outcome.as_row(task.primary_metric)} for outcome in outcomes])
    return leaderboard, curves(outcomes)


def plot_learning_curves(curves: pd.DataFrame, options: JobOptions) -> Any:
    """Return the primary metric and the losses of all trials over epochs as a Plotly figure."""
    from automl_images.reporting.charts import learning_curves

    return learning_curves(curves, TASKS.get(options.task).primary_metric)
