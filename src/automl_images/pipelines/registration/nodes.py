"""Nodes of the stage registration.

A model is registered once: the same name, job, trial and graph find the version that is there, whoever repeats the
stage (`kedro run --tags=registration`, a retry of Airflow, a run that was killed after it registered).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from automl_images.core.tracking import Tracker
from automl_images.jobs import running
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore

LOG = logging.getLogger(__name__)

VALIDATION_HASH, DEFINITION = "validation_hash", "metric_definition"
IDENTITY = ("job", "trial", "onnx_sha256")
"""Tags by which a version of a registered model is known again."""


def register_model(
    best_trial: dict[str, Any],
    split_report: dict[str, Any],
    parity_report: dict[str, Any],
    manifest: dict[str, Any],
    metrics: dict[str, float],
    evaluation: dict[str, Any],
    trials: Any,
    report: str,
    jobs: JobStore,
    tracker: Tracker,
    options: JobOptions,
) -> dict[str, Any]:
    """Register the sealed model with its lineage and move the champion where the new model is not worse.

    Returns:
        What was registered: job, trial, model, metric with interval, version, whether that version was there before,
        who is the champion and why.
    """
    name = options.registration.model_name or f"automl-images-{options.task.replace('_', '-')}"
    job = jobs.get(best_trial["job"])
    metric = float(metrics[best_trial["primary_metric"]])
    measured = {best_trial["primary_metric"]: repr(metric), DEFINITION: evaluation["definition"]}
    lineage = {"task": options.task, **_lineage(best_trial, split_report, parity_report, manifest), **measured}
    run_id = running.run_of(job, tracker, options.task)
    tracker.log_metrics(run_id, {k: v for k, v in metrics.items() if v is not None}, step=0)
    tracker.log_text(run_id, report, "report.html")
    registered = _registered_once(tracker, run_id, Path(manifest["folder"]), name, lineage)
    settled = _settled_champion(tracker, name, registered["version"], best_trial["primary_metric"], metric, lineage)
    interval = [evaluation["interval"][end] for end in ("low", "high")]
    about = {"metric": metric, "interval": interval, "trials": len(trials), "registered_model": name}
    return {**best_trial, **about, **registered, **settled, "lineage": lineage}


def _lineage(
    best_trial: dict[str, Any], split_report: dict[str, Any], parity_report: dict[str, Any], manifest: dict[str, Any]
) -> dict[str, str]:
    """Return what the model came from, as tags of its version."""
    return {
        "job": best_trial["job"],
        "trial": str(best_trial["trial"]),
        "model_name": best_trial["model_name"],
        "data_hash": split_report["data_hash"],
        "split_hash": split_report["split_hash"],
        "training_hash": split_report["training"]["hash"],
        VALIDATION_HASH: split_report["validation"]["hash"],
        "parity": "passed" if parity_report["passed"] else "failed",
        "onnx_sha256": manifest["onnx_sha256"],
    }


def _registered_once(tracker: Tracker, run_id: str, folder: Path, name: str, lineage: dict[str, str]) -> dict[str, Any]:
    """Find the model among the versions, or register it; return `version` and `registered_before`."""
    before = tracker.registered_version(name, {key: lineage[key] for key in IDENTITY})
    if before is None:
        return {"version": tracker.register_model(run_id, folder, name, lineage), "registered_before": False}
    LOG.info("Registration: this model is registered already, as %s version %s", name, before)
    return {"version": before, "registered_before": True}


def _settled_champion(
    tracker: Tracker, name: str, version: str, metric_name: str, metric: float, lineage: dict[str, str]
) -> dict[str, Any]:
    """Make a version the champion where it deserves it; return `champion`, `champion_version` and `reason`."""
    champion = tracker.champion(name)
    is_champion, reason = _decide(champion, version, metric_name, metric, lineage)
    if is_champion:
        tracker.set_champion(name, version)
    keeps = version if is_champion or champion is None else champion["version"]
    return {"champion": is_champion, "champion_version": keeps, "reason": reason}


def _decide(
    champion: dict[str, str] | None, version: str, metric_name: str, metric: float, lineage: dict[str, str]
) -> tuple[bool, str]:
    """Tell whether a version becomes, or is, the champion, and why; a newer champion never yields to it."""
    if champion is not None and champion["version"] == version:
        return True, "it was the champion before"
    if champion is not None and int(champion["version"]) > int(version):
        return False, "it is newer"
    if champion is None or metric_name not in champion:
        return True, "there was no champion that was measured"
    for key, what in ((VALIDATION_HASH, "on other validation data"), (DEFINITION, "in another way")):
        if champion.get(key) != lineage[key]:
            return False, f"it was measured {what} (registration.model_name gives this model a name of its own)"
    old = float(champion[metric_name])
    if metric >= old:
        return True, f"{metric_name} {metric:.4f} is not worse than {old:.4f}"
    return False, f"its {metric_name} {old:.4f} is better"
