"""The jobs that this process works on: the run of each in the tracker is open, and is closed however the work ends.

Kedro tells its hooks of errors, but not of Ctrl-C or SIGTERM: who starts a run does so within `ending`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from automl_images.core.errors import Interrupted
from automl_images.core.files import read_json
from automl_images.core.tracking import Tracker
from automl_images.jobs.store import OVER, Job, JobStore
from automl_images.sweep import patience
from automl_images.sweep.following import RUN_ID
from automl_images.training.interruption import SAME_REQUEST

LOG = logging.getLogger(__name__)
_OPEN: dict[Path, tuple[Job, Tracker]] = {}


def start(job: Job, tracker: Tracker, task: str, params: Mapping[str, Any]) -> None:
    """Open the run of a job, the same one as before where the job goes on, until `end_well` or `end_with`."""
    _OPEN[job.folder] = (job, tracker)
    job.run_id = tracker.start_job(job.name, task, params, job.run_id, job.created)
    job.save()


def go_on(jobs: JobStore, name: str, tracker: Tracker, task: str) -> None:
    """Open the run of a job whose trials an earlier command ran, unless it is open, or there is nothing to go on with.

    Raises:
        BusyError: another process runs the job.
    """
    if jobs.folder / name not in _OPEN and (job := jobs.go_on(name)) is not None:
        start(job, tracker, task, job.about.get("training_parameters", {}))


def run_of(job: Job, tracker: Tracker, task: str) -> str:
    """Return the id of a job's run, which is begun where there is none (any more)."""
    if job.run_id is None or not tracker.has_run(job.run_id):
        start(job, tracker, task, job.about.get("training_parameters", {}))
    return str(job.run_id)


def choose(jobs: JobStore, best: Mapping[str, Any], tracker: Tracker, task: str) -> None:
    """Write down which trial was chosen as a job's best: where the job is kept, and in its run (specification D.7).

    Args:
        jobs: of the task.
        best: what the stage model_selection made: `job`, `trial`, `model_name` and `metric`.
        tracker: of runs.
        task: of the job.
    """
    job = jobs.get(best["job"])
    job.choose(best["trial"])
    record = job.folder / str(best["trial"]) / RUN_ID
    child = read_json(record)["run_id"] if record.is_file() else None
    known = child if child is not None and tracker.has_run(child) else None
    facts = {"best_child_run_id": known, "score": best["metric"], "run_algorithm": best["model_name"]}
    tracker.tag(run_of(job, tracker, task), facts)


def end_well() -> None:
    """Close the runs: all that this process was asked to do is done."""
    while _OPEN:
        job, tracker = next(iter(_OPEN.values()))
        tracker.end(str(job.run_id), "Completed")
        del _OPEN[job.folder]


def end_with(error: BaseException) -> None:
    """Close the runs after an error, and mark the jobs as canceled, which go on; those that are over stay so."""
    status = "Canceled" if isinstance(error, Interrupted | KeyboardInterrupt) else "Failed"
    with patience.no_longer_than(patience.ENDING_PATIENCE):
        while _OPEN:
            _end(*_OPEN.popitem()[1], status)


def _end(job: Job, tracker: Tracker, status: str) -> None:
    try:
        try:
            job.set_status(job.status if job.status in OVER else "Canceled")
        finally:
            if job.run_id is not None:
                tracker.end(job.run_id, status)
    except Exception as second:  # noqa: BLE001  (the first error is the one to tell)
        LOG.warning(f"Job {job.name}: that it ended could not be written down ({second}).")


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Close the runs when the work inside ends by whatever is raised; SIGTERM is like Ctrl-C meanwhile."""
    with _stopping():
        try:
            yield
        except BaseException as error:
            end_with(error)
            raise


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt`, once a request; not where somebody else heeds them."""
    process, last = os.getpid(), -SAME_REQUEST

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != process and number == signal.SIGTERM:  # a child that was forked
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if time.monotonic() - last < SAME_REQUEST:
            return
        last = time.monotonic()
        raise KeyboardInterrupt

    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    is_main = threading.current_thread() is threading.main_thread()
    ours = {number: handler for number, handler in defaults.items() if is_main and signal.getsignal(number) is handler}
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
