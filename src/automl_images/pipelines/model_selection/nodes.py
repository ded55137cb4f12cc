"""Nodes of the stage model_selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.models.trained import TrainedModel
from automl_images.sweep.selection import best_trial as best_of
from automl_images.tasks import TASKS


def select_best_trial(trials: pd.DataFrame, options: JobOptions) -> dict[str, Any]:
    """Return job, number, model and primary metric of the best trial; of equals the earlier one.

    Raises:
        TrainingError: no trial came to a metric.
    """
    metric = TASKS.get(options.task).primary_metric
    rows = [{str(name): value for name, value in row.items()} for row in trials.to_dict("records")]
    best = best_of(rows, metric)
    return {
        "job": best["job"],
        "trial": int(best["trial"]),
        "model_name": best["model_name"],
        "primary_metric": metric,
        "metric": float(best[metric]),
        "best_epoch": int(best["best_epoch"]),
        "epochs": int(best["epochs"]),
        "seconds": float(best["seconds"]),
    }


def load_best_model(best_trial: dict[str, Any], jobs: JobStore) -> TrainedModel:
    """Return the network of the best trial at its best epoch."""
    from safetensors.torch import load_file

    from automl_images.core.files import read_json
    from automl_images.sweep.trials import WEIGHTS, TrialRequest
    from automl_images.tasks import get_task
    from automl_images.tasks.run_trial import WEIGHTS_INFO

    folder: Path = jobs.get(best_trial["job"]).folder / str(best_trial["trial"])
    request = TrialRequest.load(folder)
    about = {
        "job": best_trial["job"],
        "trial": best_trial["trial"],
        "best_epoch": best_trial["best_epoch"],
        "data_hash": request.data_hash,
        "weights": read_json(folder / WEIGHTS_INFO),
    }
    return get_task(request.task).trained_model(request, load_file(folder / WEIGHTS), about)
