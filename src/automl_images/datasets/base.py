"""What the datasets of this project share: a path on this machine, and free metadata that kedro-viz reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class PathDataset(AbstractDataset[Any, Any]):
    """A file or folder.

    Args:
        filepath: where it lies.
        metadata: free; read by kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
