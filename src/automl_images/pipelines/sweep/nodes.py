"""Nodes of the stage sweep."""

from __future__ import annotations

import logging
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
    study_storage: str | None,
    portfolio: dict[str, Any] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every trial of the job that is not finished yet.

    Returns:
        The leaderboard (a row a trial), and the curves (a row for each trial, epoch and metric).
    """
    from automl_images.jobs.sweep import open_sweep
    from automl_images.sweep.curves import curves

    sweep = open_sweep(
        options, training_data, validation_data, augmentation_plan, jobs, tracker, job_name, study_storage, portfolio
    )
    LOG.info(sweep.sentence)
    outcomes = sweep.run()
    metric = TASKS.get(options.task).primary_metric
    leaderboard = pd.DataFrame([{"job": sweep.job.name, **outcome.as_row(metric)} for outcome in outcomes])
    return leaderboard, curves(outcomes)


def plot_learning_curves(curves: pd.DataFrame, trials: pd.DataFrame, options: JobOptions) -> Any:
    """Return the primary metric and the losses of all trials over epochs as a Plotly figure."""
    from automl_images.reporting.learning import learning_curves

    return learning_curves(curves, TASKS.get(options.task).primary_metric, trials)


def plot_sweep(trials: pd.DataFrame, learning_curves: Any, options: JobOptions) -> dict[str, Any]:
    """Return the charts that compare trials as Plotly figures by name, and `page`, all of them as one HTML page."""
    from automl_images.reporting.sweep_charts import interactive_page, sweep_figures

    figures = sweep_figures(trials, TASKS.get(options.task).primary_metric)
    shown = {"learning_curves": learning_curves, **figures} if len(trials) > 1 else figures
    return {**figures, "page": interactive_page(shown, f"Sweep {trials['job'].iloc[0]}")}
