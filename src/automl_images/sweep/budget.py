"""What a sweep may use, and what it has used: trials, time over all its processes, disk."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from automl_images.core.events import read_events
from automl_images.sweep.trials import EVENTS, WEIGHTS, TrialOutcome

CHECKPOINTS = "checkpoints"
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


def seconds_used(folder: Path) -> float:
    """Return how long earlier processes worked on the job, by the `elapsed` of its log; clocks play no part."""
    used, last = 0.0, 0.0
    for event in read_events(folder / EVENTS):
        if event["event"] == "job_started":
            used, last = used + last, 0.0
        last = float(event.get("elapsed", last))
    return used + last


def make_room(outcomes: Sequence[TrialOutcome], disk_bytes: int | None) -> list[int]:
    """Delete checkpoints, then weights, of the worst trials that ended, until all folders together fit.

    Logs, results and the best `KEPT` trials stay.

    Returns:
        Numbers of the trials that lost something.
    """
    if disk_bytes is None:
        return []
    size = sum(_size(outcome.folder) for outcome in outcomes)
    ranked = sorted(outcomes, key=lambda o: (-_score(o), o.number))
    changed = []
    for name in (CHECKPOINTS, WEIGHTS):
        for outcome in reversed(ranked[KEPT:]):
            path = outcome.folder / name
            if size <= disk_bytes or not path.exists():
                continue
            size -= _size(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            changed.append(outcome.number)
    return sorted(set(changed))


def _score(outcome: TrialOutcome) -> float:
    return float("-inf") if outcome.score is None or outcome.status == "Failed" else outcome.score


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
