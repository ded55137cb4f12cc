"""Ctrl-C and SIGTERM while trials run: the first asks them to save and leave, the second leaves at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from automl_images.training.interruption import SAME_REQUEST


class StopSignals:
    """While entered, counts SIGINT and SIGTERM in place of dying; outside the main thread it does nothing.

    Args:
        say: given one line for people at each signal.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.count = 0
        self._since = 0.0
        self._say = say
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for sign in (signal.SIGINT, signal.SIGTERM):
                self._previous[sign] = signal.signal(sign, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for sign, handler in self._previous.items():
            signal.signal(sign, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.count and time.monotonic() - self._since < SAME_REQUEST:
            return
        self.count, self._since = self.count + 1, time.monotonic()
        word = "finishing the step and saving (again to leave at once)" if self.count == 1 else "leaving"
        self._say(f"{signal.Signals(number).name}: {word}")
