"""The jobs of a task as a dataset, so that a node is handed the store and never a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from automl_images.jobs.store import JobStore


class JobStoreDataset(AbstractDataset[Any, JobStore]):
    """A folder with one folder a job.

    Args:
        filepath: of the folder.
        metadata: free; read by kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> JobStore:
        """Return the store; the folder need not exist yet."""
        return JobStore(self._filepath.absolute())

    def save(self, data: Any) -> NoReturn:
        """Refuse: jobs are written by the store itself."""
        raise DatasetError("The job store is opened, never saved.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
