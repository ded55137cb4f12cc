"""What the rooms ask of an experiment tracker; `integrations/mlflow.py` answers, `NullTracker` answers nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """Records runs: a job is a parent run, each trial is a nested run. Run ids are opaque strings."""

    def start_job(
        self, name: str, task: str, params: Mapping[str, Any], run_id: str | None, created: float | None = None
    ) -> str:
        """Open (or reopen, when `run_id` is given) the parent run of a job and return its id.

        Where that run is gone, a new one takes its place, as if none had been given.
        Without `run_id`, a run that a process created for the job without living to note its id is found by the job's
        name, task and second of creation, which tells the job from others of its name. None: the job is new.
        """

    def start_trial(self, job_run_id: str, number: int, params: Mapping[str, Any], run_id: str | None) -> str:
        """Open (or reopen) the nested run of a trial and return its id; found like a job's, by job and number."""

    def has_run(self, run_id: str) -> bool:
        """Tell whether there is a run of this id; it may have been deleted, or be of another store."""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int, at: float | None = None) -> None:
        """Record numbers at a step (an epoch); the same numbers of the same time `at` (Unix seconds) count once."""

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Attach a text to a run as a file called `name`."""

    def log_files(self, run_id: str, paths: Sequence[Path]) -> None:
        """Attach files to a run; those that do not exist are left out."""

    def tag(self, run_id: str, tags: Mapping[str, object]) -> None:
        """Put facts beside a run; what is None is left out."""

    def end(self, run_id: str, status: str) -> None:
        """Close a run with one of the job statuses (`Completed`, `Failed`, `Canceled`).

        Trials of a job that an error left open are closed before it, as canceled.
        """

    def register_model(self, run_id: str, folder: Path, name: str, tags: Mapping[str, str]) -> str:
        """Register the model in `folder` under `name` and return the new version."""

    def registered_version(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Return the oldest version of a registered model that has all these tags, or None."""

    def model_folder(self, reference: str) -> Path | None:
        """Return a local copy of a model's folder: of a run id, or of `name:version` or `name@alias`; None: no such."""

    def champion(self, name: str) -> dict[str, str] | None:
        """Return `version` and the tags of the version with alias `champion`, or None."""

    def set_champion(self, name: str, version: str) -> None:
        """Move the alias `champion` to a version."""


class NullTracker:
    """A tracker that records nothing, for library use and tests of other rooms."""

    def start_job(
        self, name: str, task: str, params: Mapping[str, Any], run_id: str | None, created: float | None = None
    ) -> str:
        """Return the name as id."""
        return run_id or name

    def start_trial(self, job_run_id: str, number: int, params: Mapping[str, Any], run_id: str | None) -> str:
        """Return an id made of the job's id and the number."""
        return run_id or f"{job_run_id}_{number}"

    def has_run(self, run_id: str) -> bool:
        """Return True: what was never recorded is not missed."""
        return True

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int, at: float | None = None) -> None:
        """Do nothing."""

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Do nothing."""

    def log_files(self, run_id: str, paths: Sequence[Path]) -> None:
        """Do nothing."""

    def tag(self, run_id: str, tags: Mapping[str, object]) -> None:
        """Do nothing."""

    def end(self, run_id: str, status: str) -> None:
        """Do nothing."""

    def register_model(self, run_id: str, folder: Path, name: str, tags: Mapping[str, str]) -> str:
        """Return version 1."""
        return "1"

    def registered_version(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Return None: there is no registry."""
        return None

    def model_folder(self, reference: str) -> Path | None:
        """Return None: nothing was recorded."""
        return None

    def champion(self, name: str) -> dict[str, str] | None:
        """Return None: there is no registry."""
        return None

    def set_champion(self, name: str, version: str) -> None:
        """Do nothing."""
