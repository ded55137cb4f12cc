"""What a sweep may use, and what it has used: trials, time over all its processes, disk."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from automl_images.core.events import read_events
from automl_images.sweep.trials import DEFAULT_RECIPE, EVENTS, TrialOutcome
from automl_images.training.progress import duration

CANDIDATES, CHECKPOINTS, WEIGHTS_FILES = "candidates", "checkpoints", "best*.safetensors"
PROBED = "probed"
"""The event of a job's log that tells how long AutoMode's probes took."""
ENDED = "job_ended"
"""The event of a job's log that tells why the sweep ended, where something else did than that all trials were made."""
TIMEOUT, CANCELED = "timeout_minutes", "canceled"
"""How the reasons begin why a limit of time ends a sweep, and the reason of one that the user ends."""
CANCEL = "cancel"
"""A file of this name in the job's folder ends the sweep as its time limit would."""
KEPT = 2
"""The best trials never lose their weights."""


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What a sweep may use.

    Attributes:
        trials: most trials, retries not counted.
        seconds: of work on the job, all its processes together; None: no limit.
        disk_bytes: of all trials' folders; None: no limit.
        least_seconds: that a trial needs to be worth beginning; with less time left none is begun.
    """

    trials: int
    seconds: float | None = None
    disk_bytes: int | None = None
    least_seconds: float = 0.0


class Usage:
    """What a job has used of its budget; begins to count now.

    Args:
        budget: of the job.
        folder: of the job, whose log tells how long earlier processes worked.
    """

    def __init__(self, budget: Budget, folder: Path) -> None:
        self._budget, self._cancel = budget, folder / CANCEL
        self._begun = time.monotonic()
        self._before = seconds_used(folder)

    @property
    def elapsed(self) -> float:
        """Return the seconds since this process began to work on the job."""
        return time.monotonic() - self._begun

    def seconds_left(self) -> float | None:
        """Return how long the job may still work; None: as long as it likes."""
        return None if self._budget.seconds is None else self._budget.seconds - self._before - self.elapsed

    def why_to_end(self) -> str:
        """Return why the sweep ends now: its time is used, or it is canceled; empty: it goes on."""
        if (left := self.seconds_left()) is not None and left < 0:
            return f"{TIMEOUT} reached"
        if self._cancel.exists():
            self._cancel.unlink()  # it is for this run; the same command may go on later
            return CANCELED
        return ""

    def too_late_for_another(self, trials: int) -> str:
        """Return why none is begun where `trials` were made and more are allowed; empty: the time is enough."""
        left, least = self.seconds_left(), self._budget.least_seconds
        if left is None or left >= least or trials >= self._budget.trials:
            return ""
        return f"{TIMEOUT} leaves {duration(max(0.0, left))}, and the shortest trial needs {duration(least)}"

    def allows(self, trials: int) -> bool:
        """Tell whether one more trial may begin where `trials` have begun."""
        return trials < self._budget.trials and not self.too_late_for_another(trials)

    def guess(self, ended: Sequence[TrialOutcome], slots: int) -> float | None:
        """Return the seconds until the sweep ends, from the trials that ended; None: none has."""
        if not ended:
            return None
        rounds = (self._budget.trials - len(ended)) / slots
        guess = rounds * sum(outcome.seconds for outcome in ended) / len(ended)
        limit = self.seconds_left()
        return guess if limit is None else max(0.0, min(guess, limit))


def best_of(outcomes: Sequence[TrialOutcome]) -> TrialOutcome | None:
    """Return the best outcome, of equals the earlier; None: none has a score."""
    judged = [outcome for outcome in outcomes if math.isfinite(_score(outcome))]
    return max(judged, key=lambda outcome: (_score(outcome), -outcome.number), default=None)


def why_ended(folder: Path) -> str:
    """Return why the job's sweep, when it ran last, ended early; empty: all trials were made."""
    ends = [event for event in read_events(folder / EVENTS) if event["event"] == ENDED]
    return str(ends[-1].get("reason", "")) if ends else ""


def seconds_used(folder: Path) -> float:
    """Return how long earlier processes worked on the job, by the `elapsed` of its log; clocks play no part."""
    used, last = 0.0, 0.0
    for event in read_events(folder / EVENTS):
        if event["event"] in {"job_started", PROBED}:
            used, last = used + last, 0.0
        last = float(event.get("elapsed", last))
    return used + last


def make_room(outcomes: Sequence[TrialOutcome], disk_bytes: int | None, running: Sequence[Path] = ()) -> list[int]:
    """Delete checkpoints, then weights, of the worst trials that ended, until all folders together fit.

    The folders of `running` trials count, and stay as they are. Logs, results, the best `KEPT` trials and AutoMode's
    default recipe, which the winner has to beat, stay too.

    Returns:
        Numbers of the trials that lost something.
    """
    if disk_bytes is None:
        return []
    size = sum(_size(folder) for folder in (*running, *(outcome.folder for outcome in outcomes)))
    ranked = sorted(outcomes, key=lambda o: (-_score(o), o.number))
    losers = [outcome for outcome in ranked[KEPT:] if outcome.recipe != DEFAULT_RECIPE]
    changed = []
    for names in (CANDIDATES, CHECKPOINTS, WEIGHTS_FILES):
        for outcome in reversed(losers):
            for path in outcome.folder.glob(names) if size > disk_bytes else ():
                size -= _size(path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                changed.append(outcome.number)
    return sorted(set(changed))


def _score(outcome: TrialOutcome) -> float:
    return float("-inf") if outcome.score is None or outcome.status == "Failed" else outcome.score


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
