"""A running trial as its controller sees it: request, process, log, and the tracker's run."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl_images.core.errors import JobError
from automl_images.core.events import EventFollower
from automl_images.core.files import fingerprint, read_json, write_json
from automl_images.core.tracking import Tracker
from automl_images.sweep.executors import NoProcess, RunningTrial
from automl_images.sweep.trials import DEFAULT_RECIPE, REQUEST, STOP, TrialRequest

RUN_ID = "tracking.json"
FOR_GOOD = "for_good"
LOOK_SECONDS = 0.2
HANGING_SECONDS = 1800.0
LEAVING_SECONDS = 120.0
"""A trial that was asked to end at its next step, or to save its state and leave, and of which nothing was heard for so
long since is ended. After the step may come an evaluation."""


@dataclasses.dataclass(slots=True)
class FollowedTrial:
    """One running trial.

    Attributes:
        request: what it is to do.
        folder: where it does it.
        slot: of the executor, from 0.
        events: its log, read so far.
        run_id: of the tracker.
        process: its process.
        last_value: primary metric of the last epoch that was evaluated.
        is_judged: whether a policy may stop it: it has reported, is not at its end, and is not the default recipe,
            which AutoMode's winner is measured against.
        heard: when its log grew last (monotonic seconds).
        stop_asked: when it was asked to end (monotonic seconds); None: it was not.
        interrupted: when it was told to save its state and leave (monotonic seconds); None: it was not.
    """

    request: TrialRequest
    folder: Path
    slot: int
    events: EventFollower
    run_id: str
    process: RunningTrial = dataclasses.field(default_factory=NoProcess)
    last_value: float | None = None
    is_judged: bool = False
    heard: float = 0.0
    stop_asked: float | None = None
    interrupted: float | None = None

    @property
    def label(self) -> str:
        """Return its name for people."""
        return f"trial {self.request.number} · {self.request.model_name}"

    @property
    def is_stopping(self) -> bool:
        """Tell whether it was asked to end."""
        return self.stop_asked is not None

    @property
    def hangs(self) -> bool:
        """Tell whether it was asked to end so long ago that it will not."""
        limits = ((self.stop_asked, HANGING_SECONDS), (self.interrupted, LEAVING_SECONDS))
        now = time.monotonic()
        return any(since is not None and now - max(since, self.heard) > limit for since, limit in limits)

    @property
    def is_leaving(self) -> bool:
        """Tell whether it still saves its state."""
        return self.process.exit_code() is None and not self.hangs

    def ask_to_stop(self, reason: str, *, for_good: bool = False) -> None:
        """Let it end at its next step and keep what it has; `for_good`: whoever runs the job again shall not go on."""
        self.stop_asked = time.monotonic()
        write_json(self.folder / STOP, {"reason": reason, FOR_GOOD: for_good})

    def interrupt(self) -> None:
        """Let it save its state and leave; once, as a second signal makes it leave at once."""
        if self.interrupted is None:
            self.interrupted = time.monotonic()
            self.process.interrupt()

    def value_of(self, event: Mapping[str, Any]) -> float | None:
        """Return the primary metric at an epoch's event; one without evaluation repeats the last, as the service does.

        None: the event is of another kind, or there is no finite value yet.
        """
        if event["event"] != "epoch":
            return None
        value = (event.get("metrics") or {}).get(self.request.primary_metric, self.last_value)
        if value is None or not math.isfinite(value):
            return None
        self.last_value = value
        self.is_judged = int(event["epoch"]) < int(event["epochs"]) and self.request.recipe != DEFAULT_RECIPE
        return float(value)


def prepare_folder(request: TrialRequest, folder: Path, study: str) -> None:
    """Write the request into the trial's folder.

    Args:
        request: of the trial.
        folder: of the trial; made where it is missing.
        study: where the study is kept, for messages.

    Raises:
        JobError: the folder holds a trial of another configuration.
    """
    if (folder / REQUEST).is_file():
        earlier = TrialRequest.load(folder)
        if _identity(earlier) != _identity(request):
            raise JobError(
                f"{folder} holds a trial of another configuration than {study} has under its number; was one of them "
                "removed or replaced? Bring it back, or start a new job by another job_name."
            )
    folder.mkdir(parents=True, exist_ok=True)
    request.save(folder)


def tracked_run(request: TrialRequest, folder: Path, tracker: Tracker, job_run_id: str) -> str:
    """Open the tracker's run of a trial, the same one as before where it goes on, and return its id."""
    record = folder / RUN_ID
    known = read_json(record)["run_id"] if record.is_file() else None
    params = {"model_name": request.model_name, **request.hyperparameters}
    run_id = tracker.start_trial(job_run_id, request.number, params, known)
    write_json(record, {"run_id": run_id})
    return run_id


def _identity(request: TrialRequest) -> str:
    return fingerprint([request.model_name, request.hyperparameters])  # what was read from JSON has lists for tuples


def expect_folder(folder: Path, study: str) -> None:
    """Refuse to go on with a job of which the study knows more than its folder.

    Raises:
        JobError: the folder of a trial that ended is gone.
    """
    if not folder.is_dir():
        raise JobError(
            f"{study} has the result of a trial whose folder {folder} is not there; was it removed, or is this another "
            "machine? Bring it back, or start a new job by another job_name."
        )


def let_leave(trials: Sequence[FollowedTrial], may_take_time: Callable[[], bool], beat: Callable[[], None]) -> None:
    """Let trials save their state and leave; end those that do not in time.

    Args:
        trials: that run.
        may_take_time: tells whether to wait on.
        beat: called meanwhile; its errors do not matter, as another one may be what ends the sweep.
    """
    for trial in trials:
        trial.interrupt()
    while may_take_time() and any(trial.is_leaving for trial in trials):
        with contextlib.suppress(Exception):
            beat()
        time.sleep(LOOK_SECONDS)
    for trial in trials:
        trial.process.kill()
        trial.process.release()


def forget_stop(folder: Path) -> None:
    """Let a trial that goes on not end for what held an earlier process: its time limit, or a user who canceled."""
    path = folder / STOP
    if path.is_file() and not read_json(path).get(FOR_GOOD):
        path.unlink()


def numbers_of(event: Mapping[str, Any]) -> dict[str, float]:
    """Return what of an epoch's event belongs into curves; NaN and infinity do not."""
    plain = {k: v for k, v in event.items() if k not in {"time", "event", "epoch", "epochs", "metrics"}}
    numbers = {**plain, **event.get("metrics", {})}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float) and math.isfinite(v)}
