"""The manifest that seals a model folder: which files belong to it and what their bytes hash to.

Owns `manifest.json`, written when everything else is there, and its verification. Who fills the folder removes the
manifest first, so that an interrupted run leaves a folder without one, which every reader refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_images.core.errors import ModelError
from automl_images.core.files import read_json, sha256, write_json

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"
LABELS_FILE = "labels.json"
SETTINGS_FILE = "settings.json"
REQUIRED_FILES = (WEIGHTS_FILE, MODEL_FILE, LABELS_FILE, SETTINGS_FILE)
MANIFEST_VERSION = 1


def seal_folder(folder: Path | str, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Hash all files of a finished model folder and write its manifest.

    Args:
        folder: holds `model.safetensors`, `model.onnx`, `labels.json`, `settings.json` and maybe more files; hidden
            ones and folders are left out.
        about: further JSON-serialisable entries of the manifest.

    Returns:
        The manifest: `about`, `format_version`, and under `files` name to `sha256` and `size` in bytes.

    Raises:
        ModelError: a file that every model has is missing.
    """
    folder = Path(folder)
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"The model folder {folder} cannot be sealed without {', '.join(missing)}.")
    members = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = {
        path.name: {"sha256": sha256(path), "size": path.stat().st_size}
        for path in members
        if path.name != MANIFEST_FILE
    }
    manifest = {**(about or {}), "format_version": MANIFEST_VERSION, "files": files}
    write_json(folder / MANIFEST_FILE, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries: file name to `sha256` and `size`.

    Raises:
        ModelError: there is no manifest (it is written last, so the folder is incomplete) or it is damaged.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = read_json(path)
    except FileNotFoundError:
        raise ModelError(
            f"Expected a finished model folder at {folder}, but it has no {MANIFEST_FILE}. Run the export again."
        ) from None
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}). Run the export again.") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(map(_is_entry, files.items())):
        raise ModelError(f"{path} is damaged: expected plain file names with sha256 and size. Run the export again.")
    return files


def read_verified(folder: Path, name: str) -> bytes:
    """Return the bytes of a file of the folder, hashed as they are read.

    Raises:
        ModelError: the folder is incomplete, or the file is absent or not the one that was exported.
    """
    entry = read_manifest(folder).get(name)
    if entry is None:
        raise ModelError(f"The manifest of {folder} does not list {name}. Run the export again.")
    path = folder / name
    content = path.read_bytes() if path.is_file() else None
    if content is None or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _changed(path, missing=content is None)
    return content


def verify_model_folder(folder: Path | str) -> None:
    """Check every file of a model folder against its manifest.

    Raises:
        ModelError: the folder is incomplete, or a file is absent or was changed; the message names it.
    """
    folder = Path(folder)
    for name, entry in read_manifest(folder).items():
        path = folder / name
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise _changed(path, missing=not path.is_file())


def _is_entry(item: tuple[Any, Any]) -> bool:
    name, entry = item
    is_plain = isinstance(name, str) and name not in {"", ".", ".."} and not set(name) & set("/\\")
    return is_plain and isinstance(entry, dict) and {"sha256", "size"} <= entry.keys()


def _changed(path: Path, *, missing: bool) -> ModelError:
    what = "is missing" if missing else "was changed after the export (its SHA-256 is not the one in the manifest)"
    return ModelError(f"{path} {what}. Restore the file or run the export again.")
