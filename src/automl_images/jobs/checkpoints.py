"""Incremental training: from what a job file calls a checkpoint to a file of weights (specification K).

Owns finding the file and the rule that it must come from the same model; loading it, by name and shape, is
`models/weights.py`'s. Only weights are taken: no optimiser, no epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_images.core.errors import SettingsError
from automl_images.core.files import read_json
from automl_images.core.tracking import Tracker
from automl_images.jobs.store import Job, JobStore
from automl_images.sweep.following import RUN_ID
from automl_images.sweep.trials import REQUEST, RESULT, WEIGHTS

MODEL_WEIGHTS, SETTINGS = "model.safetensors", "settings.json"


def with_checkpoint(model_name: str, values: Mapping[str, Any], jobs: JobStore, tracker: Tracker) -> dict[str, Any]:
    """Return hyper-parameters in which a checkpoint stands as a file in `weights`.

    Args:
        model_name: that is to go on learning.
        values: resolved; `checkpoint_run_id` wins over `checkpoint_dataset_id`, both over `weights`.
        jobs: of the task.
        tracker: knows runs and registered models.

    Raises:
        SettingsError: there is no such checkpoint, or it is of another model.
    """
    if values["checkpoint_run_id"] is not None:
        file = _of_run(values["checkpoint_run_id"], jobs, tracker)
    elif values["checkpoint_dataset_id"] is not None:
        file = _in_folder(values["checkpoint_dataset_id"], values["checkpoint_filename"], tracker)
    else:
        return dict(values)
    _require_same_model(file, model_name)
    return {**values, "weights": str(file)}


def _of_run(run: str, jobs: JobStore, tracker: Tracker) -> Path:
    """Return the weights of a job's best trial, of the trial of a run, or of the model that a run holds."""
    for job in jobs.jobs():
        if run in (job.name, job.run_id):
            return _of_job(job)
        for record in job.folder.glob(f"*/{RUN_ID}"):
            if read_json(record)["run_id"] == run:
                return _of_trial(record.parent)
    folder = tracker.model_folder(run)
    if folder is not None and (folder / MODEL_WEIGHTS).is_file():
        return folder / MODEL_WEIGHTS
    known = ", ".join(job.name for job in jobs.jobs()[:5]) or "none yet"
    raise SettingsError(
        f"checkpoint_run_id {run!r} is neither a job in {jobs.folder} (newest: {known}), nor the MLflow run of one of "
        "their trials, nor an MLflow run with a model."
    )


def _of_job(job: Job) -> Path:
    """Return the weights of the trial that was chosen as the best; before that, of the best one that is finished."""
    if job.chosen is not None:
        return _of_trial(job.folder / str(job.chosen))
    results = [(read_json(path), path.parent) for path in job.folder.glob(f"*/{RESULT}")]
    finished = [(r["primary_metric"], -int(f.name), f) for r, f in results if (f / WEIGHTS).is_file()]
    if not finished:
        raise SettingsError(f"checkpoint_run_id {job.name!r}: no trial of this job is finished yet.")
    return max(finished)[2] / WEIGHTS


def _of_trial(folder: Path) -> Path:
    if not (folder / WEIGHTS).is_file():
        raise SettingsError(
            f"checkpoint_run_id: {folder} holds no weights; the trial finished no epoch, or was a loser."
        )
    return folder / WEIGHTS


def _in_folder(dataset: str, name: str, tracker: Tracker) -> Path:
    folder = Path(dataset)
    if not folder.is_dir():
        found = tracker.model_folder(dataset.removeprefix("azureml:"))
        if found is None:
            raise SettingsError(
                f"checkpoint_dataset_id {dataset!r} is neither a folder nor a registered model (name:version)."
            )
        folder = found
    if not (folder / name).is_file():
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise SettingsError(f"checkpoint_filename {name!r} is not in {folder}, which holds {held}.")
    return folder / name


def _require_same_model(file: Path, model_name: str) -> None:
    """Compare names where the checkpoint's is known; a bare file of weights is compared by shapes when it is loaded.

    So are models of the hub and of folders, which may lie elsewhere today.
    """
    for record in (SETTINGS, REQUEST):
        found = _model_name(file.parent / record)
        if found not in (None, model_name) and not ("/" in model_name and "/" in str(found)):
            raise SettingsError(
                f"The checkpoint {file} is of the model {found}, the job trains {model_name}. "
                "Set model_name to the checkpoint's, or leave the checkpoint out."
            )


def _model_name(record: Path) -> str | None:
    """Return the model that a record beside weights names; None where there is none, or the file is another's."""
    try:
        values = read_json(record)
    except (OSError, ValueError):
        return None
    return values.get("model_name") if isinstance(values, dict) else None
