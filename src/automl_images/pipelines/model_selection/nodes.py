"""Nodes of the stage model_selection."""

from __future__ import annotations

from typing import Any

import pandas as pd

from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.models.trained import TrainedModel
from automl_images.pipelines.model_selection.comparison import DEFAULT, compare, load_trial, note_of, without_rival
from automl_images.sweep.budget import why_ended
from automl_images.sweep.selection import best_trial as best_of
from automl_images.sweep.selection import judged
from automl_images.tasks import TASKS


def select_best_trial(
    trials: pd.DataFrame, validation_data: Table, jobs: JobStore, options: JobOptions
) -> dict[str, Any]:
    """Return job, number, model and primary metric of the best trial; of equals the earlier one.

    In AutoMode the best trial must surely beat the one of the default recipe, else that one is returned; `comparison`
    holds the verdict (see `comparison.compare`), or None where there was nothing to compare, and `automode` the recipes
    that were considered (see `jobs.automode.considered`). `sweep_ended` says why the sweep ended early; it is
    empty where all trials were made and ended by themselves.

    Raises:
        TrainingError: no trial came to a metric.
    """
    from automl_images.jobs.automode import considered

    metric = TASKS.get(options.task).primary_metric
    rows = [{str(name): value for name, value in row.items()} for row in trials.to_dict("records")]
    best, comparison = best_of(rows, metric), None
    of_default = [row for row in rows if row.get("recipe") == DEFAULT]
    default = min(of_default, key=lambda row: int(row["trial"]), default=best)
    if not judged([default], metric):
        comparison = without_rival(best, default, metric)
    elif default["trial"] != best["trial"]:
        challengers = sum(row["trial"] != default["trial"] for row in judged(rows, metric))
        comparison = compare(best, default, challengers, validation_data, jobs, options)
        best = default if comparison["kept"] == DEFAULT else best
    job = jobs.get(best["job"]).folder
    return {
        "job": best["job"],
        "trial": int(best["trial"]),
        "model_name": best["model_name"],
        "primary_metric": metric,
        "metric": float(best[metric]),
        "best_epoch": int(best["best_epoch"]),
        "epochs": int(best["epochs"]),
        "seconds": float(best["seconds"]),
        "note": note_of(best),
        "comparison": comparison,
        "automode": considered(job),
        "sweep_ended": why_ended(job),
    }


def load_best_model(best_trial: dict[str, Any], jobs: JobStore) -> TrainedModel:
    """Return the network of the best trial at its best epoch."""
    return load_trial(best_trial, jobs)
