"""The well-known file datasets, writing atomically, so that an interrupted save never leaves half a file."""

from __future__ import annotations

import base64
import io
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets._typing import ImagePreview
from kedro_datasets.json import JSONDataset as _JSONDataset
from kedro_datasets.pandas import CSVDataset as _CSVDataset
from kedro_datasets.pillow import ImageDataset as _ImageDataset
from kedro_datasets.text import TextDataset as _TextDataset
from kedro_datasets.yaml import YAMLDataset as _YAMLDataset

from automl_images.core.files import replacing


class AtomicSave:
    """Mixed in before a file dataset: saves under a temporary name beside the file, then renames."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Save `data`; after a crash the file is either the old one or the new one."""
        final = self._filepath
        with replacing(Path(final)) as temporary:
            self._filepath = PurePosixPath(temporary.as_posix())
            try:
                super().save(data)  # type: ignore[misc]
            finally:
                self._filepath = final


class JSONDataset(AtomicSave, _JSONDataset):
    """A JSON file."""


class YAMLDataset(AtomicSave, _YAMLDataset):
    """A YAML file."""


class CSVDataset(AtomicSave, _CSVDataset):
    """A CSV file as pandas table."""


class TextDataset(AtomicSave, _TextDataset):
    """A text file."""


class ImageDataset(AtomicSave, _ImageDataset):
    """A picture as Pillow image."""

    def preview(self) -> ImagePreview:
        """Return the picture, at most 800 pixels wide, for kedro-viz."""
        picture = self.load().convert("RGB")
        picture.thumbnail((800, 4000))
        content = io.BytesIO()
        picture.save(content, "PNG")
        return ImagePreview(base64.b64encode(content.getvalue()).decode("ascii"))
