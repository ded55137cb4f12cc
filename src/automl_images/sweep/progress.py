"""What a person sees while trials run: a line an epoch, and on a terminal a live line with the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status

from automl_images.training.progress import progress_line

PLAIN_SECONDS = 30.0


class ProgressLine:
    """Shows events of running trials; without a terminal it prints plain lines, at most one each half minute.

    Use as a context manager, so that the live line is taken down at the end.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True, highlight=False)
        self._status: Status | None = None
        self._live: dict[str, str] = {}
        self._last_plain = time.monotonic()

    def __enter__(self) -> ProgressLine:
        if self.console.is_terminal:
            self._status = self.console.status("training")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def print(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(text, markup=False)

    def show(self, label: str, event: Mapping[str, Any]) -> None:
        """Show one event of a trial.

        Args:
            label: of the trial, such as `trial 0 · yolov5`.
            event: as written to the trial's log.
        """
        kind = event["event"]
        if kind == "progress":
            self._show_progress(label, event)
        elif kind == "epoch":
            self.print(f"{label}: {progress_line(event)}")
        elif kind in {"finished", "failed"}:
            self._live.pop(label, None)
        elif event.get("message"):
            self.print(f"{label}: {event['message']}")

    def _show_progress(self, label: str, event: Mapping[str, Any]) -> None:
        self._live[label] = f"{label}: {progress_line(event)}"
        if self._status:
            self._status.update(" | ".join(self._live.values()))
        elif time.monotonic() - self._last_plain > PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            self.print(self._live[label])
