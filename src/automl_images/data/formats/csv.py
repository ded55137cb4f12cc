"""CSV files for classification: a column with the image, and one with its label or labels or one of 0 and 1 a class.

The delimiter (comma, semicolon, tab) is taken from the header. Several labels in a cell are separated by `;`, `,`, `|`
or space, whichever of these is the first to occur anywhere in the column; a split at spaces is a finding. The
service's older `.tsv` files, without header and with labels separated by commas, are read too.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.findings import short
from automl_images.data.formats.base import READERS, Reader, Sample
from automl_images.data.sources import ImageLocator, find_image_root

_IMAGE_COLUMNS = ("image_url", "image", "filename", "file_name", "file", "path", "image_path", "image_name", "id")
_LABEL_COLUMNS = ("label", "labels", "class", "classes", "tag", "tags", "category")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True, "": False}

_Line = tuple[int, dict[str, str]]


@READERS.register("csv")
class CsvReader(Reader):
    """Reads one CSV file."""

    name = "csv"
    kinds = frozenset({"class", "classes"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A file called .csv or .tsv."""
        return path.is_file() and path.suffix.lower() in {".csv", ".tsv"}

    def read(self) -> Iterator[Sample]:
        """Yield one sample a line."""
        self._file = self.source.path
        header, lines = self._lines()
        image_column = self._column(header, _IMAGE_COLUMNS, "image")
        labels = self._labels(header, image_column, lines)
        folder = self._file.parent
        usual = self.image_roots(folder, folder / "images", folder.parent / "images", folder.parent)
        self._root = find_image_root(usual, [cells[image_column] for _, cells in lines[:20]])
        for (number, cells), label in zip(lines, labels, strict=True):
            yield Sample(cells[image_column].strip(), self._file, label=label, line=number)

    def locator(self) -> ImageLocator:
        """Names are relative to the images' folder."""
        return ImageLocator([self._root], on_disk=self.check_images)

    def _lines(self) -> tuple[list[str], list[_Line]]:
        if not self._file.is_file():
            raise DataError(f"Expected a CSV file, but {self._file} is none.")
        try:
            text, bom = strict_json.decode(self._file.read_bytes())
            if bom:
                self.log.add("FILE_BYTE_ORDER_MARK", "the file begins with a byte order mark", self._file, line=1)
            if not text.strip():
                raise DataError(f"{self._file} is empty: expected a header with an image column and a label column.")
            return self._parse(text)
        except (strict_json.JsonError, csv.Error) as error:
            raise DataError(f"{self._file} cannot be read as CSV: {error}.") from error

    def _parse(self, text: str) -> tuple[list[str], list[_Line]]:
        legacy = self._file.suffix.lower() == ".tsv" and not _has_header(text)
        first = text.split("\n", 1)[0]
        delimiter = "\t" if legacy else max(",;\t", key=first.count)
        reader = csv.reader(text.splitlines(), delimiter=delimiter, quotechar="'" if legacy else '"')
        header = ["image", "labels"] if legacy else [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header):
            raise DataError(f"{self._file}:1 names a column twice: {', '.join(header)}.")
        lines: list[_Line] = []
        for cells in reader:
            if len(cells) == len(header):
                lines.append((reader.line_num, dict(zip(header, cells, strict=True))))
            elif cells:
                message = f"expected {len(header)} cells, got {len(cells)}"
                self.log.add("COLUMN_COUNT", message, self._file, line=reader.line_num, value=delimiter.join(cells))
        return header, lines

    def _column(self, header: list[str], known: tuple[str, ...], what: str) -> str:
        column = _find(header, known)
        if column is None:
            names = ", ".join(known)
            raise DataError(f"{self._file} has no column with the {what}: expected {names}; got {', '.join(header)}.")
        return column

    def _labels(self, header: list[str], image_column: str, lines: list[_Line]) -> list[Any]:
        column = self.target_column if self.target_column in header else _find(header, _LABEL_COLUMNS)
        if self.kind == "class":
            column = column or self._column(header, _LABEL_COLUMNS, "label")
            self._report_joined([(number, cells[column].strip()) for number, cells in lines])
            return [cells[column] for _, cells in lines]
        if column is not None:
            return self._split([(number, cells[column]) for number, cells in lines])
        return self._one_hot(header, image_column, lines)

    def _split(self, cells: list[tuple[int, str]]) -> list[Any]:
        """Return the labels of each cell, given with its line."""
        separator = next((sign for sign in ";,|" if any(sign in cell for _, cell in cells)), None)
        labels = [[part.strip() for part in cell.split(separator) if part.strip()] for _, cell in cells]
        if separator is None:
            self._report_spaces([(*cell, parts) for cell, parts in zip(cells, labels, strict=True) if len(parts) > 1])
        return labels

    def _report_joined(self, cells: list[tuple[int, str]]) -> None:
        """Log labels of several classes where an image has one: each would become a class of its own."""
        joined: dict[str, tuple[int, set[str]]] = {}
        for line, cell in cells:
            parts = {part.strip() for sign in ";|" if sign in cell for part in cell.split(sign)}
            if parts:
                joined.setdefault(cell, (line, parts))
        alone = {cell for _, cell in cells}
        uses = Counter(part for _, parts in joined.values() for part in parts)
        for cell, (line, parts) in joined.items():
            if any(part in alone or uses[part] > 1 for part in parts):
                message = (
                    f"'{short(cell)}' becomes a class of its own; for several labels an image use the task "
                    "image_classification_multilabel"
                )
                self.log.add("LABEL_OF_SEVERAL", message, self._file, line=line, value=cell)
                return

    def _report_spaces(self, split: list[tuple[int, str, list[str]]]) -> None:
        """Log which cells were split at spaces, as a space may as well belong to the name of a class."""
        if not split:
            return
        line, cell, parts = split[0]
        count = "1 cell" if len(split) == 1 else f"{len(split)} cells"
        names = " and ".join(f"'{short(part)}'" for part in parts)
        message = (
            f"the labels in {count} were split at spaces, e.g. '{short(cell.strip())}' into {names}; if these are one "
            "label, end the cell with ';' (or separate all labels by ';')"
        )
        self.log.add("LABEL_SPLIT_AT_SPACES", message, self._file, line=line, value=cell)

    def _one_hot(self, header: list[str], image_column: str, lines: list[_Line]) -> list[Any]:
        """Return the classes of each line; of a line with a cell that is no flag, that cell, which validation refuses.

        A column is a class if most of its cells are flags.
        """
        classes = [
            name
            for name in header
            if name != image_column and 2 * sum(_flag(cells[name]) is not None for _, cells in lines) > len(lines)
        ]
        if not classes:
            raise DataError(
                f"{self._file} has no labels: expected a column {self.target_column!r} or {', '.join(_LABEL_COLUMNS)}, "
                f"or columns of 0 and 1 for the classes; got {', '.join(header)}."
            )
        labels: list[Any] = []
        for _, cells in lines:
            wrong = {name: cells[name] for name in classes if _flag(cells[name]) is None}
            labels.append(wrong or [name for name in classes if _flag(cells[name])])
        return labels


def _flag(cell: str) -> bool | None:
    return _FLAGS.get(cell.strip().lower())


def _find(header: list[str], known: tuple[str, ...]) -> str | None:
    by_name = {name.lower(): name for name in reversed(header)}
    return next((by_name[name] for name in known if name in by_name), None)


def _has_header(text: str) -> bool:
    first = text.split("\n", 1)[0].split("\t", 1)[0].strip().lower()
    return first in _IMAGE_COLUMNS
