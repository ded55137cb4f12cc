"""Runs trials as processes: starts them, follows their logs, shows one line each, collects what came of them.

Knows nothing of what is trained: the command line of a trial is handed in. A trial that finished before is not run
again; one that was interrupted goes on from its checkpoint, because its process finds it in its folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from automl_images.core.errors import Interrupted
from automl_images.core.events import EventFollower, read_events
from automl_images.core.files import read_json, write_json
from automl_images.core.tracking import Tracker
from automl_images.sweep.progress import ProgressLine
from automl_images.sweep.trials import CONSOLE, EVENTS, TrialOutcome, TrialRequest
from automl_images.training.result import TrialResult

POLL_SECONDS = 0.3
GRACE_SECONDS = 120.0
RUN_ID = "tracking.json"


@dataclasses.dataclass(slots=True)
class _Running:
    request: TrialRequest
    folder: Path
    process: subprocess.Popen[bytes]
    events: EventFollower
    run_id: str
    label: str


class TrialController:
    """Runs the trials of one job.

    Args:
        folder: of the job; trial n lives in `<folder>/<n>`.
        command: gives the command line of the process that trains the trial of a folder.
        environment: variables of the processes (threads), added to the present ones.
        tracker, job_run_id: where curves go.
        concurrent: most trials at once.
        deadline: `time.monotonic()` at which running trials are stopped; None: never.
        primary_metric: shown in the lines.
    """

    def __init__(
        self,
        folder: Path,
        command: Callable[[Path], Sequence[str]],
        environment: Mapping[str, str],
        tracker: Tracker,
        job_run_id: str,
        concurrent: int,
        deadline: float | None,
        primary_metric: str,
    ) -> None:
        self.folder = folder
        self.command = command
        self.environment = dict(environment)
        self.tracker = tracker
        self.job_run_id = job_run_id
        self.concurrent = concurrent
        self.deadline = deadline
        self.primary_metric = primary_metric
        self._running: list[_Running] = []
        self._stop_requests = 0
        self._line = ProgressLine()

    def run(self, requests: Sequence[TrialRequest]) -> list[TrialOutcome]:
        """Run all trials and return what came of each, in the order of `requests`.

        Raises:
            Interrupted: the user stopped the run; running trials have saved their state.
        """
        waiting = [r for r in requests if not self._finished(r)]
        with self._signals(), self._line:
            try:
                while waiting or self._running:
                    self._start_next(waiting)
                    self._follow()
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop_all(signal.SIGKILL)
        if self._stop_requests:
            raise Interrupted("Stopped by the user. Running trials have saved their state; the same command goes on.")
        return [self._outcome(request) for request in requests]

    def _start_next(self, waiting: list[TrialRequest]) -> None:
        overdue = self.deadline is not None and time.monotonic() > self.deadline
        if overdue or self._stop_requests:
            waiting.clear()
            self._stop_all(signal.SIGTERM)
            return
        while waiting and len(self._running) < self.concurrent:
            self._running.append(self._start(waiting.pop(0)))

    def _start(self, request: TrialRequest) -> _Running:
        folder = self._folder(request)
        folder.mkdir(parents=True, exist_ok=True)
        request.save(folder)
        run_id = self._tracked_run(request, folder)
        with (folder / CONSOLE).open("ab") as console:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                list(self.command(folder)),
                stdin=subprocess.PIPE,  # its end tells the trial that we are gone
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,  # the terminal's Ctrl-C reaches us alone; we pass it on
            )
        follower = EventFollower(folder / EVENTS)
        list(follower.new_events())  # what an earlier process wrote is known already
        return _Running(request, folder, process, follower, run_id, f"trial {request.number} · {request.model_name}")

    def _tracked_run(self, request: TrialRequest, folder: Path) -> str:
        record = folder / RUN_ID
        known = read_json(record)["run_id"] if record.is_file() else None
        params = {"model_name": request.model_name, **request.hyperparameters}
        run_id = self.tracker.start_trial(self.job_run_id, request.number, params, known)
        write_json(record, {"run_id": run_id})
        return run_id

    def _follow(self) -> None:
        for running in list(self._running):
            ended = running.process.poll() is not None
            for event in running.events.new_events():
                self._show(running, event)
            if ended:
                self._running.remove(running)
                self._close(running)

    def _show(self, running: _Running, event: dict[str, Any]) -> None:
        self._line.show(running.label, event)
        if event["event"] == "epoch":
            self.tracker.log_metrics(running.run_id, _numbers(event), int(event["epoch"]))

    def _close(self, running: _Running) -> None:
        with contextlib.suppress(BrokenPipeError):
            if running.process.stdin:
                running.process.stdin.close()
        outcome = self._outcome(running.request)
        self.tracker.end(running.run_id, outcome.status)
        self._line.print(f"{running.label}: {outcome.status}{f' ({outcome.note})' if outcome.note else ''}")

    def _stop_all(self, sign: signal.Signals) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.process.send_signal(sign)
        waited_until = time.monotonic() + GRACE_SECONDS
        while any(r.process.poll() is None for r in self._running) and time.monotonic() < waited_until:
            time.sleep(POLL_SECONDS)
            if self._stop_requests > 1:
                break
        for running in self._running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn the first Ctrl-C or SIGTERM into a request to stop, the second into stopping at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sign, handler in previous.items():
                signal.signal(sign, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1
        word = "finishing the step and saving (again to leave at once)" if self._stop_requests == 1 else "leaving"
        self._line.print(f"{signal.Signals(number).name}: {word}")

    def _folder(self, request: TrialRequest) -> Path:
        return self.folder / str(request.number)

    def _finished(self, request: TrialRequest) -> bool:
        result = TrialResult.load(self._folder(request))
        return result is not None and result.status != "stopped"

    def _outcome(self, request: TrialRequest) -> TrialOutcome:
        folder = self._folder(request)
        common = (request.number, request.model_name, request.hyperparameters)
        result = TrialResult.load(folder)
        if result is not None:
            return TrialOutcome(
                *common,
                status="Canceled" if result.status == "stopped" else "Completed",
                folder=folder,
                epochs=result.epochs,
                best_epoch=result.best_epoch,
                seconds=result.seconds,
                metrics={self.primary_metric: result.primary_metric} | _defined(result.metrics),
                note="no improvement any more" if result.status == "early_stopped" else "",
            )
        return self._unfinished_outcome(common, folder)

    def _unfinished_outcome(self, common: tuple[int, str, dict[str, Any]], folder: Path) -> TrialOutcome:
        """Read from the log what a trial that did not end by itself came to."""
        events = read_events(folder / EVENTS)
        epochs = list({e["epoch"]: e for e in events if e["event"] == "epoch"}.values())  # a resumed one comes twice
        failures = [e for e in events if e["event"] == "failed"]
        judged = [e for e in epochs if _defined(e.get("metrics", {})).get(self.primary_metric) is not None]
        best = max(judged, key=lambda e: (e["metrics"][self.primary_metric], e["epoch"]), default=None)
        overdue = self.deadline is not None and time.monotonic() > self.deadline
        interrupted = bool(events) and events[-1]["event"] == "interrupted"
        canceled = not failures and bool(overdue or self._stop_requests or interrupted)
        return TrialOutcome(
            *common,
            status="Canceled" if canceled else "Failed",
            folder=folder,
            epochs=len(epochs),
            best_epoch=best["epoch"] if best else 0,
            seconds=sum(e.get("seconds", 0.0) for e in epochs),
            metrics=_defined(best["metrics"]) if best else {},
            note=("timeout_minutes reached" if overdue else "stopped") if canceled else _cause(failures, folder),
        )


def python_command(module: str) -> Callable[[Path], list[str]]:
    """Return the command line that runs `module` of this interpreter with a trial's folder."""
    return lambda folder: [sys.executable, "-m", module, str(folder)]


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}


def _numbers(event: Mapping[str, Any]) -> dict[str, float]:
    """Return what of an epoch's event belongs into curves; NaN and infinity do not."""
    plain = {k: v for k, v in event.items() if k not in {"time", "event", "epoch", "epochs", "metrics"}}
    numbers = {**plain, **event.get("metrics", {})}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float) and math.isfinite(v)}


def _cause(failures: Sequence[Mapping[str, Any]], folder: Path) -> str:
    if failures:
        return str(failures[-1]["reason"])
    console = folder / CONSOLE
    lines = console.read_text(encoding="utf-8", errors="replace").strip().splitlines() if console.is_file() else []
    return f"the process died; last line of {console}: {lines[-1] if lines else '(empty)'}"
