"""What the datasets of this project share: a path on this machine, free metadata that kedro-viz reads, their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from automl_images.core.errors import AutoMLImagesError


def unwrapped(error: BaseException) -> BaseException:
    """Return the error of ours or of the system that Kedro wrapped in a `DatasetError`; any other as it is."""
    cause = error.__cause__
    if isinstance(error, DatasetError) and isinstance(cause, DatasetError | AutoMLImagesError | OSError):
        return unwrapped(cause)
    return error


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
