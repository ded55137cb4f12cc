"""Decoded images on disk, shared by all trials of a machine: what one has decoded, no other decodes again.

A cache is a folder of arrays named after file, size and time of change of an image. It is filled up to a budget and
never trusted: what cannot be read is decoded anew. So its files are renamed into place, but not flushed to the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from automl_images.core.types import ImageArray
from automl_images.data.images import read_image

VARIABLE = "AUTOML_IMAGES_IMAGE_CACHE"
"""Names the cache for the processes of trials, as `<bytes>:<folder>`."""


class ImageCache:
    """One folder of decoded images.

    Args:
        folder: made when the first image is kept.
        budget_bytes: when the folder holds so many, nothing is added.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder, self.budget_bytes = folder, budget_bytes
        self._bytes: int | None = None

    @classmethod
    def from_environment(cls) -> ImageCache | None:
        """Return the cache that the variable `VARIABLE` names, or None."""
        budget, _, folder = os.environ.get(VARIABLE, "").partition(":")
        return cls(Path(folder), int(budget)) if folder else None

    def as_environment(self) -> dict[str, str]:
        """Return the variable that names this cache to a process."""
        return {VARIABLE: f"{self.budget_bytes}:{self.folder.absolute()}"}

    def read(self, path: str) -> ImageArray:
        """Return an image as `data.images.read_image` does.

        Raises:
            ImageError: it cannot be read.
        """
        place = self._place(path)
        if place is not None and place.exists():
            with contextlib.suppress(OSError, ValueError):  # torn, or removed meanwhile
                return np.load(place, allow_pickle=False)  # type: ignore[no-any-return]
        image = read_image(path)
        if place is not None:
            self._keep(place, image)
        return image

    def keep_only(self, paths: Iterable[str]) -> None:
        """Remove what belongs to other images than these."""
        wanted = {place for path in paths if (place := self._place(path)) is not None}
        for found in self.folder.glob("*.npy"):
            if found not in wanted:
                found.unlink(missing_ok=True)
        self._bytes = None

    def _place(self, path: str) -> Path | None:
        try:
            facts = Path(path).stat()
        except (OSError, ValueError):
            return None
        identity = f"{Path(path).absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}"
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npy"

    def _keep(self, place: Path, image: ImageArray) -> None:
        if self._bytes is None:  # counted when it first matters: most processes find all they need
            self._bytes = sum(path.stat().st_size for path in self.folder.glob("*.npy"))
        if self._bytes + image.nbytes > self.budget_bytes:
            return
        with contextlib.suppress(OSError):  # a full disk must not end a training that can go on without a cache
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as stream:
                    np.save(stream, image, allow_pickle=False)
                Path(name).replace(place)
            finally:
                Path(name).unlink(missing_ok=True)
            self._bytes += image.nbytes
