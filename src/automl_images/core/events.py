"""The event log of a trial: one JSON object a line, appended as things happen, followed by other processes.

Owns the file format only. `training/` writes; `sweep/` follows and shows; a torn last line (power cut) is skipped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_images.core.files import disk_may_be_full


class EventLog:
    """Appends events to a file; each line is flushed at once so that a follower sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end_torn_line()

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; `time` (Unix seconds) is added.

        Args:
            event: its kind: `started`, `progress`, `epoch`, `checkpoint`, `batch_size_reduced`, `finished`, `failed` ….
            fields: JSON-serialisable values.

        Raises:
            DiskFullError: nothing more fits on the disk.
        """
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=False)
        with disk_may_be_full(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def _end_torn_line(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with self.path.open("rb+") as stream:
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                stream.write(b"\n")


class EventFollower:
    """Reads the events that were added since the last call; for following a running trial."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_events(self) -> Iterator[dict[str, Any]]:
        """Yield complete, readable events after the last one that was yielded."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                event = _parse(line)
                if event is not None:
                    yield event


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return all complete events of a log; an absent file is an empty log."""
    return list(EventFollower(path).new_events())


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
