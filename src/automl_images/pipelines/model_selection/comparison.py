"""Never worse than the default: the winner of an AutoMode job against the trial of the default recipe.

Owns loading what a trial learnt, and the verdict with its words. Both models predict the validation images through
ONNX, as the product does; the statistics are `evaluation/bootstrap.py`'s, of the task's primary metric.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_images.core.errors import ModelError
from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.models.trained import TrainedModel
from automl_images.tasks import TASKS

LOG = logging.getLogger(__name__)
CHALLENGER, DEFAULT = "challenger", "default"
TrialRow = Mapping[str, Any]
"""A row of the leaderboard, with `job`, `trial`, `model_name` and `best_epoch`."""


def load_trial(trial: TrialRow, jobs: JobStore) -> TrainedModel:
    """Return the network of a trial at its best epoch.

    Raises:
        ModelError: its weights are not there any more.
    """
    from safetensors.torch import load_file

    from automl_images.core.files import read_json
    from automl_images.sweep.trials import WEIGHTS, TrialRequest
    from automl_images.tasks import get_task
    from automl_images.tasks.run_trial import WEIGHTS_INFO

    folder: Path = jobs.get(trial["job"]).folder / str(trial["trial"])
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"The weights of trial {trial['trial']} are not in {folder} any more; run the job anew.")
    request = TrialRequest.load(folder)
    about = {
        "job": trial["job"],
        "trial": int(trial["trial"]),
        "best_epoch": int(trial["best_epoch"]),
        "data_hash": request.data_hash,
        "weights": read_json(folder / WEIGHTS_INFO),
    }
    return get_task(request.task).trained_model(request, load_file(folder / WEIGHTS), about)


def compare(
    challenger: TrialRow, default: TrialRow, validation_data: Table, jobs: JobStore, options: JobOptions
) -> dict[str, Any]:
    """Return whether a trial surely beats the one of the default recipe.

    A challenger that cannot be used loses; a default that cannot be used is no rival.

    Returns:
        `default_trial`, `challenger_trial`, `metric`, `difference` (challenger minus default) with `low`, `high` and
        `confidence` (all None where one of the two cannot be used), `kept` (`challenger` or `default`), and a
        `sentence` for people.
    """
    LOG.info("Model selection: %s against the default recipe", _name(challenger))
    found = {
        "default_trial": int(default["trial"]),
        "challenger_trial": int(challenger["trial"]),
        "metric": TASKS.get(options.task).primary_metric,
        **dict.fromkeys(("difference", "low", "high", "confidence")),
    }
    predictions = {}
    for side, trial in ((DEFAULT, default), (CHALLENGER, challenger)):
        try:
            predictions[side] = _predictions(trial, validation_data, jobs, options)
        except ModelError as error:
            kept = CHALLENGER if side == DEFAULT else DEFAULT
            sentence = f"{_name(trial)} cannot be used: {error} So the {kept} is kept without a comparison."
            return _told({**found, "kept": kept, "sentence": sentence})
    found |= _difference(predictions, default, validation_data, jobs, options)
    found["kept"] = CHALLENGER if found["low"] > 0 else DEFAULT  # equal models: the default
    return _told({**found, "sentence": _sentence(found, challenger, default, len(validation_data.rows))})


def _predictions(trial: TrialRow, data: Table, jobs: JobStore, options: JobOptions) -> list[dict[str, Any]]:
    from automl_images.tasks import get_task

    LOG.info("Model selection: %s is exported and judged on %d validation images", _name(trial), len(data.rows))
    task = get_task(options.task)
    return task.predict(task.export(load_trial(trial, jobs)), data.rows, options.evaluation.model_dump())


def _difference(
    predictions: Mapping[str, Any], default: TrialRow, data: Table, jobs: JobStore, options: JobOptions
) -> dict[str, float]:
    from automl_images.tasks import get_task

    found = get_task(options.task).difference(
        predictions[CHALLENGER],
        predictions[DEFAULT],
        data.rows,
        load_trial(default, jobs),
        options.evaluation.model_dump(),
    )
    return {"difference": found.value, "low": found.low, "high": found.high, "confidence": found.confidence}


def _sentence(found: Mapping[str, Any], challenger: TrialRow, default: TrialRow, images: int) -> str:
    from automl_images.reporting.charts import words

    interval = f"{found['confidence']:.0%} interval {found['low']:.4f} to {found['high']:.4f}".replace("%", " %")
    if found["kept"] == CHALLENGER:
        return (
            f"{_name(challenger)} beats the default recipe ({_name(default)}) by {found['difference']:.4f} in "
            f"{words(found['metric'])} ({interval})."
        )
    return (
        f"The default recipe ({_name(default)}) is kept: that {_name(challenger)} is better is not sure on {images} "
        f"validation images, by {found['difference']:.4f} in {words(found['metric'])} ({interval})."
    )


def _told(comparison: dict[str, Any]) -> dict[str, Any]:
    LOG.info("Model selection: %s", comparison["sentence"])
    return comparison


def _name(trial: TrialRow) -> str:
    return f"trial {trial['trial']}, {trial['model_name']}"
