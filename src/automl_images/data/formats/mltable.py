"""MLTable folders (specification A.3): a YAML file that names JSONL files and says how they are read.

`paths` with `file`, `folder` or `pattern`; the transformations `read_json_lines` and `convert_column_types`. Others
would change the rows in ways that are not built here, and are refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.formats.base import READERS, Sample
from automl_images.data.formats.jsonl import JsonlReader
from automl_images.data.mltable import TABLE_FILE
from automl_images.data.sources import ImageLocator, PathError, list_files

_ENCODINGS = {
    "utf8": "utf-8",
    "utf8bom": "utf-8",
    "ascii": "ascii",
    "latin1": "latin-1",
    "iso88591": "latin-1",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}


@READERS.register("mltable")
class MLTableReader(JsonlReader):
    """Reads the JSONL files that an `MLTable` file names."""

    name = "mltable"

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A file called `MLTable`, or a folder with one."""
        table = _table_file(path)
        return table.name == TABLE_FILE and table.is_file()

    def read(self) -> Iterator[Sample]:
        """Yield one sample a line."""
        self._table = _table_file(self.source.path)
        settings = self._load()
        options = self._json_options(settings.get("transformations") or [])
        name = str(options.get("encoding", "utf8"))
        encoding = _ENCODINGS.get(name.lower().replace("-", "").replace("_", "").replace(" ", ""))
        if encoding is None:
            raise DataError(f"{self._table}: unknown encoding {name!r}; known: {', '.join(_ENCODINGS)}.")
        invalid = options.get("invalid_lines", "error")
        if invalid not in {"error", "drop"}:
            raise DataError(f"{self._table}: invalid_lines must be error or drop, got {invalid!r}.")
        yield from self.read_files(self._files(settings.get("paths")), encoding, drop_invalid=invalid == "drop")

    def _load(self) -> dict[str, Any]:
        if not self._table.is_file():
            raise DataError(f"Expected an MLTable, but {self._table} is no file.")
        try:
            settings = yaml.safe_load(strict_json.decode(self._table.read_bytes())[0])
        except (yaml.YAMLError, strict_json.JsonError, RecursionError, ValueError) as error:
            raise DataError(f"{self._table} is not YAML: {str(error) or type(error).__name__}.") from error
        if not isinstance(settings, dict):
            raise DataError(f"{self._table}: expected `paths` and `transformations`.")
        return settings

    def _json_options(self, transformations: Any) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for step in transformations if isinstance(transformations, list) else [transformations]:
            name = next(iter(step), None) if isinstance(step, dict) and len(step) == 1 else step
            if name == "read_json_lines":
                value = step[name] if isinstance(step, dict) else None
                options = value if isinstance(value, dict) else {}
            elif name != "convert_column_types":
                raise DataError(
                    f"{self._table}: the transformation {name!r} is not supported; expected read_json_lines and "
                    "convert_column_types. Apply the others before."
                )
        return options

    def _files(self, paths: Any) -> list[Path]:
        if not isinstance(paths, list) or not paths:
            raise DataError(f"{self._table}: expected `paths`, a list of `file`, `folder` or `pattern`.")
        files = [file for entry in paths for file in self._entry(entry)]
        missing = next((file for file in files if not file.is_file()), None)
        if missing or not files:
            raise DataError(f"{self._table} names no file that exists: {missing or paths}.")
        return files

    def _entry(self, entry: Any) -> list[Path]:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise DataError(f"{self._table}: expected one of file, folder, pattern under `paths`, got {entry!r}.")
        kind, value = next(iter(entry.items()))
        if kind not in {"file", "folder", "pattern"} or not isinstance(value, str):
            raise DataError(f"{self._table}: expected `file`, `folder` or `pattern` with a path, got {entry!r}.")
        if kind == "file":
            return [self._inside(value)]
        if kind == "folder":
            return [file for file in list_files(self._inside(value)) if file.name != TABLE_FILE]
        pattern = value.removeprefix("./")
        if Path(pattern).is_absolute():
            raise DataError(f"{self._table}: expected a pattern relative to the table, got {value!r}.")
        found = sorted(self._table.parent.glob(pattern))
        return [self._inside(str(file.absolute())) for file in found if file.is_file() and file.name != TABLE_FILE]

    def _inside(self, name: str) -> Path:
        locator = ImageLocator([self._table.parent], [Path.cwd()], absolute=True)
        try:
            return Path(locator.locate(name))
        except PathError as error:
            raise DataError(f"{self._table}: {error}.") from error


def _table_file(path: Path) -> Path:
    return path / TABLE_FILE if path.is_dir() else path
