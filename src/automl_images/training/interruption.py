"""Being asked to stop by Ctrl-C (SIGINT) or a scheduler (SIGTERM): finish the step, then leave; twice: leave now."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

SAME_REQUEST = 1.0
"""Seconds within which a second signal counts as the first one: a terminal and a parent may both pass it on."""


class StopRequested(Exception):
    """Raised at a point from which training can go on later."""


class Interruption:
    """While entered, notes SIGINT and SIGTERM in place of dying; only in the main thread, elsewhere it does nothing.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `StopRequested` when a signal came."""
        if self.signal_number is not None:
            raise StopRequested

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
