"""Writing files so that a reader never sees half of one, and hashing them.

The rule: a temporary name in the same folder, write, flush, fsync, rename, fsync of the folder. A crash at any
point leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from automl_images.core.errors import AutoMLImagesError, DiskFullError
from automl_images.core.failpoints import failpoint

TEMPORARY_PREFIX = ".tmp-"
_OWN_PREFIX = f"{TEMPORARY_PREFIX}{re.sub(r'[^A-Za-z0-9]', '', platform.node())}-"
_CLEANED: set[Path] = set()
_FULL, _FULL_BYTES = (errno.ENOSPC, errno.EDQUOT), 64 * 1024


@contextlib.contextmanager
def replacing(path: Path | str, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it takes the place of `path`.

    Use it for writers that want a file name (ONNX, safetensors, pictures).

    Args:
        path: of the file.
        needed: bytes that it will have, for the message of a full disk; None: not known.

    Raises:
        DiskFullError: nothing more fits on the disk; `path` is then untouched.
        OSError: the folder cannot be written; `path` is then untouched.
    """
    path = Path(path)
    with disk_may_be_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_OWN_PREFIX}{os.getpid()}-", suffix=path.suffix)
        os.close(handle)
    temporary = Path(name)
    try:
        with disk_may_be_full(path, needed, temporary):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            failpoint(f"write:{path.name}")
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_may_be_full(path: Path, needed: int | None = None, begun: Path | None = None) -> Iterator[None]:
    """Turn an error, met while `path` is written on a full disk, into one that says what to do.

    Libraries hide "no space left" in errors of their own: where those do not say it, as torch's RuntimeError, the space
    that is free does.

    Args:
        path: that is written.
        needed: bytes that this takes; None: not known.
        begun: file that holds what was written of it, whose bytes are free again afterwards.

    Raises:
        DiskFullError: nothing more fits on the disk.
    """
    try:
        yield
    except AutoMLImagesError:
        raise
    except Exception as error:
        free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
        if not _says_full(error) and (not isinstance(error, RuntimeError) or free >= _FULL_BYTES):
            raise
        free += begun.stat().st_blocks * 512 if begun is not None and begun.exists() else 0
        needs = f"it needs {needed} bytes" if needed is not None else "it needs more bytes than there are"
        raise DiskFullError(
            f"The disk is full: {path} cannot be written, {needs}, {free} are free there. What was there before is "
            "untouched. Make room and run the same command again."
        ) from error


def _says_full(error: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, says that nothing more fits: of a disk, or of a user's share."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    says = any(os.strerror(number) in str(error) for number in _FULL)
    return says or _says_full(error.__cause__ or error.__context__)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, line ends unchanged, to `path` atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file that this project wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON-serialisable value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _remove_left_over(folder: Path) -> None:
    """Remove temporary files of processes of this machine that died; looks once a process into each folder."""
    if folder in _CLEANED:
        return
    _CLEANED.add(folder)
    for path in folder.glob(f"{_OWN_PREFIX}*"):
        owner = path.name.removeprefix(_OWN_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is durable enough
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
