"""Where annotations come from: the options of a source, and the paths of its images resolved safely.

Owns the `source` block of the parameters and the rule that no annotation file may reach outside the images' folder.
Leaves parsing to `formats/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

IMAGE_EXTENSIONS = frozenset(
    (
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "mpo",
        "png",
        "apng",
        "bmp",
        "dib",
        "tif",
        "tiff",
        "gif",
        "webp",
        "avif",
        "jp2",
        "j2k",
        "ppm",
        "pgm",
        "pbm",
        "pnm",
    )
)
"""Extensions, without dot and in lower case, by which files are taken for images when a folder is listed."""


class SourceOptions(BaseModel):
    """Which annotations to convert.

    Attributes:
        path: annotation file or folder.
        format: `coco`, `voc`, `yolo`, `folder`, `csv`, `jsonl`, `mltable`, `masks`, or `auto` to recognise it.
        images: folder that the image names are relative to; found by the usual places if not given.
        split: which part of a source with several to read: the key in a YOLO data.yaml (default `train`), or the
            folder of class folders (`train`, `validation`, `test`).
        one_based: VOC only: coordinates count from 1 and include the last pixel, as in the VOC development kit.
            Most tools that write VOC files count from 0, so the default is no.
        class_name: `masks` only: the class of masks that lie in no class folder; `object` if not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    format: str = "auto"
    images: Path | None = None
    split: str | None = Field(default=None, min_length=1)
    one_based: bool = False
    class_name: str | None = Field(default=None, min_length=1)


class PathError(ValueError):
    """An image path cannot be used; `code` is the finding's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_DRIVE = re.compile(r"^[A-Za-z]:")


class ImageLocator:
    """Turns what an annotation file calls an image into an absolute path or a URL.

    Relative paths count from the first root in which the file exists (else from the first). The result lies under one
    of the trusted roots, also after symbolic links are followed; anything else is refused. `http(s)` URLs are kept.
    Other URLs (`azureml://…/paths/a/b.jpg`, `file:///…`) become the file under a root whose path is the longest tail
    of the URL's.

    Args:
        roots: folders that names are relative to, the preferred one first.
        trusted: further folders that names may reach into.
        absolute: whether absolute paths (under a root) are accepted.
        on_disk: look at the disk; else paths are only computed.
    """

    def __init__(
        self, roots: Sequence[Path], trusted: Sequence[Path] = (), *, absolute: bool = False, on_disk: bool = True
    ) -> None:
        self._roots = [os.path.realpath(root) for root in roots]
        self._trusted = [*self._roots, *(os.path.realpath(root) for root in trusted)]
        self._absolute = absolute
        self._on_disk = on_disk
        self._real_folders: dict[str, str] = {}

    def locate(self, name: str) -> str:
        """Return the absolute path or the URL for `name`.

        Raises:
            PathError: the name is empty, holds NUL, is absolute where it must not be, or leaves the roots.
        """
        if not name.strip() or "\0" in name or not is_text(name):
            raise PathError("PATH_INVALID", "expected the path of an image, got an empty or unprintable one")
        if "://" in name:
            return self._from_url(name)
        name = name.replace("\\", "/")
        if name.startswith("/") or _DRIVE.match(name):
            return self._from_absolute(name)
        paths = [os.path.normpath(f"{root}/{name}") for root in self._roots]
        inside = [path for path in paths if self._is_inside(path)]
        if not inside:
            raise PathError(
                "PATH_OUTSIDE_ROOT", f"{name!r} leaves {self._roots[0]}; name the images' folder in `images`"
            )
        return self._first_existing(inside)

    def _from_absolute(self, name: str) -> str:
        path = os.path.normpath(name)
        if self._absolute and os.path.isabs(path) and self._is_inside(path):  # noqa: PTH117
            return path
        raise PathError(
            "PATH_OUTSIDE_ROOT",
            f"{name!r} is absolute; expected a path under {self._roots[0]} (set `images` to change it)",
        )

    def _from_url(self, name: str) -> str:
        try:
            parts = urlsplit(name)
        except ValueError as error:
            raise PathError("PATH_INVALID", f"{name!r} is not a URL: {error}") from None
        if parts.scheme in {"http", "https"}:
            return name
        pieces = [piece for piece in unquote(parts.path).split("/") if piece not in {"", "."}]
        if ".." in pieces or "\0" in parts.path or not pieces:
            raise PathError("PATH_OUTSIDE_ROOT", f"{name!r} leaves its folder")
        tails = ["/".join(pieces[start:]) for start in range(len(pieces))]
        found = (f"{root}/{tail}" for tail in tails for root in self._trusted)
        if not self._on_disk:
            return f"{self._roots[0]}/{pieces[-1]}"
        path = next((path for path in found if os.path.isfile(path) and self._is_inside(path)), None)  # noqa: PTH113
        return path or f"{self._roots[0]}/{pieces[-1]}"

    def _first_existing(self, paths: list[str]) -> str:
        if len(paths) == 1 or not self._on_disk:
            return paths[0]
        return next((path for path in paths if os.path.exists(path)), paths[0])  # noqa: PTH110

    def _is_inside(self, path: str) -> bool:
        if self._on_disk:
            path = self._real(path)
        return any(path.startswith(root + os.sep) or root == os.sep for root in self._trusted)

    def _real(self, path: str) -> str:
        if os.path.islink(path):  # noqa: PTH114
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return f"{self._real_folders[folder]}{os.sep}{name}"


def is_text(value: str) -> bool:
    """Tell whether a string can be written as UTF-8: JSON and file systems can hold halves of characters."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def find_image_root(candidates: Iterable[Path], names: Sequence[str]) -> Path:
    """Return the first candidate that holds one of the named images; the first candidate if none does."""
    folders = [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]
    plain = [name.replace("\\", "/") for name in names[:20] if name and "\0" not in name and "://" not in name]
    for folder in folders:
        if any((folder / name).is_file() for name in plain if not name.startswith("/") and ".." not in name):
            return folder
    return folders[0]


def list_images(folder: Path) -> list[Path]:
    """Return the files below `folder` whose extension is one of an image's, sorted, hidden ones left out."""
    return [path for path in list_files(folder) if path.suffix.lower().lstrip(".") in IMAGE_EXTENSIONS]


def list_files(folder: Path) -> list[Path]:
    """Return all files below `folder`, sorted; hidden files and folders and what Windows leaves behind are skipped."""
    result: list[Path] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        result += [Path(where, name) for name in files if not name.startswith(".") and name != "Thumbs.db"]
    return sorted(result)
