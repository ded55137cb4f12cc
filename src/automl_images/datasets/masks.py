"""Masks of detections as a folder of pictures (hyper-parameter `export_as_image`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from automl_images.data.mask_files import MaskPictures
from automl_images.datasets.base import PathDataset


class MaskPicturesDataset(PathDataset):
    """A folder with `masks/<image>/<class>/<picture>`; empty where no pictures were asked for."""

    def load(self) -> list[Path]:
        """Return the paths of the pictures."""
        return sorted(path for path in self._filepath.rglob("*") if path.is_file())

    def save(self, data: Iterable[MaskPictures]) -> None:
        """Write the pictures of each image, in place of those of an earlier run."""
        shutil.rmtree(self._filepath / "masks", ignore_errors=True)
        self._filepath.mkdir(parents=True, exist_ok=True)
        for pictures in data:
            pictures.write(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_dir()
