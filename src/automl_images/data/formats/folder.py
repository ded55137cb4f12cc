"""Class folders: a folder for each class, its name the label of the images in it.

A tree whose first level is `train`, `validation`, `test` holds several sources: `split` says which one is meant (or
`path` points at it).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from automl_images.core.errors import DataError
from automl_images.data.formats.base import READERS, Reader, Sample
from automl_images.data.sources import IMAGE_EXTENSIONS, ImageLocator, list_files

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


@READERS.register("folder")
class FolderReader(Reader):
    """Reads the images below each class folder."""

    name = "folder"
    kinds = frozenset({"class"})
    fallback = True

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A folder with a folder that holds an image."""
        return path.is_dir() and any(_is_image(file) for folder in _folders(path) for file in list_files(folder))

    def read(self) -> Iterator[Sample]:
        """Yield one sample an image, sorted by class and name."""
        self._root = self._class_root()
        for file in sorted(file for file in self._root.iterdir() if file.is_file() and _is_image(file)):
            self.log.add("LABEL_MISSING", "an image outside of the class folders", file, row=str(file))
        for folder in _folders(self._root):
            for file in list_files(folder):
                if _is_image(file):
                    yield Sample(file.relative_to(self._root).as_posix(), file, label=folder.name)
                else:
                    self.log.add("FILE_NOT_AN_IMAGE", f"{file.suffix or 'no'} extension", file)

    def locator(self) -> ImageLocator:
        """Names are relative to the folder of the class folders."""
        return ImageLocator([self._root], on_disk=self.check_images)

    def _class_root(self) -> Path:
        root = self.source.path
        if self.source.split:
            root = root / self.source.split
        if not root.is_dir():
            raise DataError(f"Expected a folder of class folders, but {root} is no folder.")
        names = [folder.name for folder in _folders(root)]
        if not names:
            raise DataError(f"Expected a folder for each class in {root}, found none.")
        one_deeper = len(names) == 1 and not any(map(_is_image, (root / names[0]).iterdir()))
        if one_deeper or all(name.lower() in _SPLITS for name in names):
            raise DataError(
                f"{root} holds {', '.join(names)}, which are not classes by their looks. Say which to read: "
                f"`split: {names[0]}`, or `path: {root / names[0]}`."
            )
        return root


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _is_image(file: Path) -> bool:
    return file.suffix.lower().lstrip(".") in IMAGE_EXTENSIONS
