"""What a trial's folder says it came to, whether it ended by itself, was stopped or died.

Owns the reading of a trial's traces and the words for causes; what follows from a cause is the controller's business.
"""

from __future__ import annotations

import dataclasses
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl_images.core.errors import AutoMLImagesError, DiskFullError, Interrupted, TimeIsUpError, TrainingError
from automl_images.core.events import read_events
from automl_images.core.files import read_json
from automl_images.sweep.budget import CANCELED, TIMEOUT
from automl_images.sweep.trials import CONSOLE, EVENTS, STOP, TrialOutcome, TrialRequest
from automl_images.training.result import TrialResult

OUT_OF_TIME = "max_training_minutes"
LAST_LINES = 8
SAME_CAUSE = 3
"""So many different trials that fail of one cause end the sweep."""
LAST_LINE = "; last line of "
DIED = "died"
"""The event that a controller adds to a trial's log before it tries the trial again."""


def is_finished(folder: Path) -> bool:
    """Tell whether the trial left a result."""
    return TrialResult.load(folder) is not None


def stop_reason(folder: Path) -> str:
    """Return why the trial was asked to end, or an empty string."""
    path = folder / STOP
    return str(read_json(path)["reason"]) if path.is_file() else ""


def outcome(request: TrialRequest, folder: Path, exit_code: int | None = None, note: str = "") -> TrialOutcome:
    """Return what came of a trial.

    Args:
        request: of the trial.
        folder: of the trial.
        exit_code: of its process; None: unknown, or no process was started.
        note: cause that an earlier process, which knew the exit code, wrote down.
    """
    common = (request.number, request.model_name, request.hyperparameters)
    result = TrialResult.load(folder)
    if result is None:
        found = _unfinished(request, folder, exit_code)
        return dataclasses.replace(found, note=note) if note and found.status == "Failed" else found
    stopped = result.status == "stopped"
    return TrialOutcome(
        *common,
        status="Canceled" if stopped else "Completed",
        folder=folder,
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        seconds=result.seconds,
        metrics={request.primary_metric: result.primary_metric} | _defined(result.metrics),
        score=result.primary_metric,
        recipe=request.recipe,
        note=stop_reason(folder) if stopped else _end_in_words(result, request),
    )


def may_pass(folder: Path) -> bool:
    """Tell whether the trial ended by something that may not come again when it is tried again.

    What the program itself refused (settings, data, a loss that is no number) comes again; signals, memory and
    surprises may not.
    """
    failures = _failures(read_events(folder / EVENTS))
    return not failures or not failures[-1]["is_final"]


def concerns_all(folder: Path) -> bool:
    """Tell whether what the program refused would be refused in other trials too: anything but its own training."""
    failures = _failures(read_events(folder / EVENTS))
    return bool(failures) and failures[-1]["kind"] != TrainingError.__name__


def disk_is_full(folder: Path, exit_code: int | None) -> bool:
    """Tell whether the trial ended because nothing more fits on the disk, which no other trial can change."""
    failures = _failures(read_events(folder / EVENTS))
    return exit_code == DiskFullError.exit_code or (
        exit_code is not None and bool(failures) and failures[-1]["kind"] == DiskFullError.__name__
    )


def deaths(folder: Path) -> int:
    """Return how often the trial's process died and was tried again."""
    return sum(event["event"] == DIED for event in read_events(folder / EVENTS))


def last_lines(folder: Path) -> list[str]:
    """Return the last lines that the trial's process printed."""
    console = folder / CONSOLE
    lines = console.read_text(encoding="utf-8", errors="replace").strip().splitlines() if console.is_file() else []
    return lines[-LAST_LINES:]


def kind_of_cause(note: str) -> str:
    """Return a cause without what differs between trials of one cause: numbers, files, and what the console said last.

    Of that only the type of an exception remains.
    """
    cause, _, said = note.partition("\n")[0].partition(LAST_LINE)
    exception = re.search(r"\b\w+(Error|Exception)\b", said)
    return (exception[0] if exception else "") + re.sub(r"(/[^\s:;,]+)|\d+(\.\d+)?( [KMGT]?i?B\b)?", "…", cause)


class Causes:
    """What trials of a sweep failed of that others may fail of too."""

    def __init__(self) -> None:
        self._notes: dict[str, list[str]] = {}

    def count(self, outcome: TrialOutcome) -> None:
        """Take note of a trial that ended."""
        folder = outcome.folder
        if outcome.status == "Failed" and not is_finished(folder) and (may_pass(folder) or concerns_all(folder)):
            self._notes.setdefault(kind_of_cause(outcome.note), []).append(outcome.note)

    def pardon(self) -> None:
        """Forget what ended an earlier run of the job: whoever begins again has mended it."""
        self._notes = {kind: notes for kind, notes in self._notes.items() if len(notes) < SAME_CAUSE}

    def reason(self) -> str:
        """Return why the sweep ends, or an empty string."""
        notes = max(self._notes.values(), key=len, default=[])
        return f"{len(notes)} trials died of the same cause: {notes[-1]}" if len(notes) >= SAME_CAUSE else ""


def nothing_came(reason: str, ended: Sequence[TrialOutcome]) -> AutoMLImagesError:
    """Return the error of a sweep that ended for a reason before any trial came to a result.

    A time limit and the user end what goes on later; what trials died of does not.
    """
    failures = "".join(f"\n  trial {o.number}: {o.status}: {o.note}" for o in ended if o.status == "Failed")
    if reason == CANCELED:
        return Interrupted(f"Canceled before any trial came to a result. The same command goes on.{failures}")
    if reason.startswith(TIMEOUT):
        way_out = "Raise limits.timeout_minutes, and the same command goes on."
        return TimeIsUpError(f"{reason}: no trial came to a result before. {way_out}{failures}")
    return TrainingError(reason)


def _unfinished(request: TrialRequest, folder: Path, exit_code: int | None) -> TrialOutcome:
    """Read from the log what a trial that did not end by itself came to."""
    events = read_events(folder / EVENTS)
    epochs = list({e["epoch"]: e for e in events if e["event"] == "epoch"}.values())  # a resumed one comes twice
    judged = [e for e in epochs if _defined(e.get("metrics", {})).get(request.primary_metric) is not None]
    at_hand = _epochs_at_hand(folder)
    judged = [e for e in judged if e["epoch"] in at_hand] or judged
    best = max(judged, key=lambda e: (e["metrics"][request.primary_metric], e["epoch"]), default=None)
    failures, stopped = _failures(events), stop_reason(folder)
    of_disk = bool(failures) and failures[-1]["kind"] == DiskFullError.__name__
    is_kept = bool(stopped) and (not failures or of_disk or bool(at_hand))  # whatever befell it when it was to end
    cause = _cause(failures, folder, exit_code) if failures or not is_kept else ""
    return TrialOutcome(
        request.number,
        request.model_name,
        request.hyperparameters,
        status="Canceled" if is_kept else "Failed",
        folder=folder,
        epochs=len(epochs),
        best_epoch=best["epoch"] if best else 0,
        seconds=sum(e.get("seconds", 0.0) for e in epochs),
        metrics=_defined(best["metrics"]) if best else {},
        score=best["metrics"][request.primary_metric] if best else None,
        recipe=request.recipe,
        note="; then: ".join(filter(None, [stopped if is_kept else "", cause])),
    )


def _epochs_at_hand(folder: Path) -> set[int]:
    """Return the epochs of which the trial kept the weights; a kill may have left the log ahead of them."""
    if not folder.is_dir():
        return set()
    from automl_images.training.checkpoint import weights_by_epoch  # needs torch, which no start of a sweep waits for

    return set(weights_by_epoch(folder))


def _end_in_words(result: TrialResult, request: TrialRequest) -> str:
    if result.status == "out_of_time":
        asked = request.hyperparameters["number_of_epochs"]
        return f"{OUT_OF_TIME} reached in epoch {result.epochs} of {asked}"
    return "no improvement any more" if result.status == "early_stopped" else ""


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}


def _failures(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the failures since the trial was last tried again."""
    last = max((i for i, e in enumerate(events) if e["event"] == DIED), default=-1)
    return [e for e in events[last + 1 :] if e["event"] == "failed"]


def _cause(failures: Sequence[Mapping[str, Any]], folder: Path, exit_code: int | None) -> str:
    if failures:
        return str(failures[-1]["reason"])
    end = f"{LAST_LINE}{folder / CONSOLE}: {(last_lines(folder) or ['(empty)'])[-1]}"
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{memory}{end}"
    return f"the process died{'' if exit_code is None else f' with exit code {exit_code}'}{end}"
