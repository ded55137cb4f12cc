"""What a person sees while trials run: a line an epoch, and on a terminal a live line a trial and one for the sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from automl_images.sweep.trials import TrialOutcome
from automl_images.training.progress import duration, progress_line

PLAIN_SECONDS = 30.0


class ProgressLines:
    """Shows events of running trials; without a terminal it prints plain lines, at most some each half minute.

    Use as a context manager, so that the live lines are taken down at the end.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True, highlight=False)
        self._live: Live | None = None
        self._trials: dict[str, str] = {}
        self._last: dict[str, float] = {}
        self._best: dict[str, float] = {}
        self._sweep = ""
        self._last_plain = time.monotonic()

    def __enter__(self) -> ProgressLines:
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def print(self, text: str) -> None:
        """Print a line above the live ones."""
        self.console.print(text, markup=False)

    def show(self, label: str, event: Mapping[str, Any]) -> None:
        """Show one event of a trial.

        Args:
            label: of the trial, such as `trial 0 · yolov5`.
            event: as written to the trial's log.
        """
        kind = event["event"]
        if kind == "progress":
            known = f", last {self._last[label]:.4f}, best {self._best[label]:.4f}" if label in self._best else ""
            self._trials[label] = f"{label}: {progress_line(event)}{known}"
        elif kind == "epoch":
            self.remember(label, event)
            self.print(f"{label}: {progress_line(event)}")
        elif event.get("message"):
            self.print(f"{label}: {event['message']}")

    def remember(self, label: str, event: Mapping[str, Any]) -> None:
        """Take note of an epoch's metric without showing it, as of an earlier process of the job."""
        if event["event"] == "epoch" and event.get("primary_metric") is not None:
            self._last[label] = event["primary_metric"]
            self._best[label] = max(self._best.get(label, float("-inf")), event["primary_metric"])

    def show_sweep(self, done: int, trials: int, best: TrialOutcome | None, seconds_left: float | None) -> None:
        """Show how far the sweep is; one trial alone needs no such line.

        Args:
            done: trials that ended; `trials`: all that will run.
            best: of those that ended.
            seconds_left: until the sweep ends, guessed; None: unknown.
        """
        if trials > 1:
            parts = [f"sweep: {done} of {trials} trials"]
            known = dict(self._best)
            if best is not None and best.score is not None:
                known[f"trial {best.number} · {best.model_name}"] = best.score
            if known:
                label = max(known, key=known.__getitem__)
                parts.append(f"best {known[label]:.4f} of {label}")
            if seconds_left is not None:
                parts.append(f"{duration(seconds_left)} left")
            self._sweep = ", ".join(parts)
        self._refresh()

    def forget(self, label: str) -> None:
        """Take the line of a trial that ended away."""
        self._trials.pop(label, None)
        self._best.pop(label, None)
        self._last.pop(label, None)

    def _refresh(self) -> None:
        lines = [*self._trials.values(), *([self._sweep] if self._sweep else [])]
        if self._live:
            self._live.update(Text("\n".join(lines)))
        elif time.monotonic() - self._last_plain > PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            for line in lines:
                self.print(line)
