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
from automl_images.evaluation.bootstrap import confidence_of_best
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.models.trained import TrainedModel
from automl_images.sweep.trials import DEFAULT_RECIPE

LOG = logging.getLogger(__name__)
CHALLENGER, DEFAULT = "challenger", DEFAULT_RECIPE
TrialRow = Mapping[str, Any]
"""A row of the leaderboard, with `job`, `trial`, `model_name` and `best_epoch`."""


def load_trial(trial: TrialRow, jobs: JobStore) -> TrainedModel:
    """Return the network of a trial at its best epoch.

    Raises:
        ModelError: its weights are not there any more.
    """
    from safetensors.torch import load_file

    from automl_images.core.files import read_json
    from automl_images.sweep.trials import TrialRequest
    from automl_images.tasks import get_task
    from automl_images.tasks.run_trial import WEIGHTS_INFO
    from automl_images.training.checkpoint import weights_by_epoch

    folder: Path = jobs.get(trial["job"]).folder / str(trial["trial"])
    weights = weights_by_epoch(folder).get(int(trial["best_epoch"]))
    if weights is None:
        raise ModelError(f"The weights of trial {trial['trial']} are not there any more. Run the job under a new name.")
    request = TrialRequest.load(folder)
    about = {
        "job": trial["job"],
        "trial": int(trial["trial"]),
        "best_epoch": int(trial["best_epoch"]),
        "split_hash": request.data_hash,
        "weights": read_json(folder / WEIGHTS_INFO),
    }
    return get_task(request.task).trained_model(request, load_file(weights), about)


def compare(
    challenger: TrialRow,
    default: TrialRow,
    challengers: int,
    validation_data: Table,
    jobs: JobStore,
    options: JobOptions,
) -> dict[str, Any]:
    """Return whether the best of so many challengers surely beats the trial of the default recipe.

    A challenger that cannot be used loses; a default that cannot be used is no rival.

    Returns:
        `default_trial`, `challenger_trial`, `metric`, `difference` (challenger minus default) with `low`, `high`,
        `confidence` and the number of `challengers` (all None where one of the two cannot be used), `kept`
        (`challenger` or `default`), and a `sentence` for people.
    """
    from automl_images.tasks import get_task

    task, rows, settings = get_task(options.task), validation_data.rows, options.evaluation.model_dump()
    found = _not_compared(challenger, default, task.primary_metric)
    trials, models, predictions = {DEFAULT: default, CHALLENGER: challenger}, {}, {}
    for side, trial in trials.items():
        LOG.info("Never worse than the default: exporting trial %s to judge it on %d images", _named(trial), len(rows))
        try:
            models[side] = load_trial(trial, jobs)
            predictions[side] = task.predict(task.export(models[side]), rows, settings)
        except ModelError as error:
            kept = CHALLENGER if side == DEFAULT else DEFAULT
            unusable = f"trial {_named(trial)} cannot be used: {str(error).splitlines()[0]}"
            sentence = f"Trial {_named(trials[kept])} is kept without a comparison, as {unusable}"
            return _told({**found, "kept": kept, "sentence": sentence})
    found["challengers"], confidence = challengers, confidence_of_best(challengers)
    pair = predictions[CHALLENGER], predictions[DEFAULT]
    difference = task.difference(*pair, rows, models[DEFAULT], settings, confidence)
    found |= {"difference": difference.value, "low": difference.low, "high": difference.high}
    found |= {"confidence": difference.confidence, "kept": CHALLENGER if difference.is_better else DEFAULT}
    return _told({**found, "sentence": _sentence(found, challenger, default, len(rows))})


def without_rival(challenger: TrialRow, default: TrialRow, metric: str) -> dict[str, Any]:
    """Return what `compare` would where the trial of the default recipe came to nothing; `default` holds its `note`."""
    why = (note_of(default) or default["status"]).splitlines()[0]
    failed = f"trial {_named(default)}, the default recipe, came to nothing: {why}"
    sentence = f"Trial {_named(challenger)} is kept without a comparison, as {failed}"
    return _told({**_not_compared(challenger, default, metric), "kept": CHALLENGER, "sentence": sentence})


def note_of(trial: TrialRow) -> str:
    """Return the note of a trial; an empty cell of a table is NaN."""
    note = trial.get("note")
    return note if isinstance(note, str) else ""


def _not_compared(challenger: TrialRow, default: TrialRow, metric: str) -> dict[str, Any]:
    return {
        "default_trial": int(default["trial"]),
        "challenger_trial": int(challenger["trial"]),
        "metric": metric,
        **dict.fromkeys(("difference", "low", "high", "confidence", "challengers")),
    }


def _sentence(found: Mapping[str, Any], challenger: TrialRow, default: TrialRow, images: int) -> str:
    measure, new, old = found["metric"].replace("_", " "), _named(challenger), _named(default)
    many = f", as the best of {found['challengers']}" if found["challengers"] > 1 else ""
    numbers = (
        f"{found['difference']:.4f} ({100 * found['confidence']:.4g} % interval {found['low']:.4f} to "
        f"{found['high']:.4f}{many}, {images} validation images)"
    )
    if found["kept"] == CHALLENGER:
        return f"Trial {new} beats trial {old}, the default recipe: its {measure} is higher by {numbers}."
    verdict = f"Trial {old}, the default recipe, is kept: trial {new} is not surely better"
    return f"{verdict}, its {measure} differs by {numbers}."


def _told(comparison: dict[str, Any]) -> dict[str, Any]:
    LOG.info("Never worse than the default: %s", comparison["sentence"])
    return comparison


def _named(trial: TrialRow) -> str:
    return f"{trial['trial']} ({trial['model_name']})"
