"""Annotation formats; each reader registers itself. `open_source` chooses one, by name or by looking."""

from __future__ import annotations

from pathlib import Path

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.findings import FindingLog
from automl_images.data.formats import coco, csv, folder, jsonl, mask_png, mltable, voc, yolo  # noqa: F401 - they register
from automl_images.data.formats.base import READERS, Reader
from automl_images.data.sources import SourceOptions


def open_source(
    source: SourceOptions, kind: str, target_column: str, log: FindingLog, check_images: bool = True
) -> Reader:
    """Return the reader for a source.

    Args:
        source: its options.
        kind: wanted label kind.
        target_column: name of the label in formats with named columns.
        log: takes what the reader finds.
        check_images: whether the disk may be asked about images.

    Raises:
        DataError: the path is missing, or `auto` recognises no format or several.
        SettingsError: there is no such format.
    """
    if not source.path.exists():
        raise DataError(f"There is nothing at the source's path {source.path}.")
    name = recognise(source.path, kind, source.images) if source.format == "auto" else source.format
    reader = READERS.get(name)
    if kind not in reader.kinds:
        fitting = [name for name in READERS if kind in READERS.get(name).kinds]
        raise DataError(f"The format {name!r} has no labels of kind {kind!r}; these have: {', '.join(fitting)}.")
    return reader(source, kind, target_column, log, check_images)


def recognise(path: Path, kind: str, images: Path | None = None) -> str:
    """Return the name of the one format that `path` looks like among those that can hold labels of `kind`.

    Args:
        path: annotation file or folder.
        kind: wanted label kind.
        images: the folder named in `images`, if there is one.

    Raises:
        DataError: there is none, or more than one.
    """
    fitting = [name for name in READERS if kind in READERS.get(name).kinds]
    found = _alike(path, images, fitting, fallback=False) or _alike(path, images, fitting, fallback=True)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"The format of {path} is not clear: it could be any of {', '.join(found)}. Set `format`.")
    others = [name for name in READERS if name not in fitting]
    none = f"looks like none of {', '.join(fitting)} ({', '.join(others)} have no labels of kind {kind!r})"
    if reasons := _reasons(path, images, fitting, others):
        raise DataError(f"The format of {path} is not recognised: {'; '.join(reasons)}. It {none}.")
    raise DataError(f"The format of {path} is not clear: it {none}. Set `format`.")


def _reasons(path: Path, images: Path | None, fitting: list[str], others: list[str]) -> list[str]:
    """Return what is known of why a path is of no fitting format."""
    if path.is_file() and (unreadable := _unreadable(path)):
        return [unreadable]
    near = filter(None, (READERS.get(name).near(path) for name in fitting))
    alike = _alike(path, images, others, fallback=False)
    return [*near, *(f"it looks like {name}" for name in alike)]


def _alike(path: Path, images: Path | None, names: list[str], *, fallback: bool) -> list[str]:
    """Return the names of the formats that a path looks like, of fallbacks or of the others."""
    readers = {name: READERS.get(name) for name in names}
    return [name for name, reader in readers.items() if reader.fallback == fallback and reader.detect(path, images)]


def _unreadable(file: Path) -> str | None:
    content = file.read_bytes()
    if not content:
        return "the file is empty"
    try:
        strict_json.decode(content)
    except strict_json.JsonError as error:
        return f"the file is no UTF-8 text{_guess(content)}: {error}"
    return None


def _guess(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return " but UTF-16 by its first bytes; save it as UTF-8"
    return " but binary" if b"\0" in content[:4096] else ""
