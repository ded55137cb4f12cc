"""The jobs of a task as a dataset, so that a node is handed the store and never a path."""

from __future__ import annotations

from typing import Any, NoReturn

from kedro.io import DatasetError

from automl_images.datasets.base import PathDataset
from automl_images.jobs.store import JobStore


class JobStoreDataset(PathDataset):
    """A folder with one folder a job."""

    def load(self) -> JobStore:
        """Return the store; the folder need not exist yet."""
        return JobStore(self._filepath.absolute())

    def save(self, data: Any) -> NoReturn:
        """Refuse: jobs are written by the store itself."""
        raise DatasetError("The job store is opened, never saved.")
