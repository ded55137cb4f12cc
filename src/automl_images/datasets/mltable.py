"""Annotation tables as datasets: the JSONL of the converted rows, and MLTable folders of the two sides."""

from __future__ import annotations

import json
from typing import Any

from kedro_datasets._typing import JSONPreview

from automl_images.core.files import write_text
from automl_images.core.types import Table
from automl_images.data import mltable
from automl_images.datasets.base import PathDataset


class AnnotationsDataset(PathDataset):
    """Rows in one `annotations.jsonl`."""

    def load(self) -> Table:
        """Read the rows; `image_url` becomes absolute."""
        return Table(mltable.read_rows(self._filepath), self._filepath)

    def save(self, data: Table) -> None:
        """Write the rows; `image_url` becomes relative to the file."""
        mltable.write_rows(data.rows, self._filepath)

    def preview(self, rows: int = 5) -> JSONPreview:
        """Return the first rows for kedro-viz."""
        return JSONPreview(_preview(self.load(), rows))


class MLTableDataset(PathDataset):
    """A folder with the files `MLTable` and `annotations.jsonl`."""

    def load(self) -> Table:
        """Read the rows; the table knows its folder."""
        return mltable.read_table(self._filepath)

    def save(self, data: Table) -> None:
        """Write the rows and the `MLTable` file."""
        mltable.write_table(data.rows, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "MLTable").is_file()

    def preview(self, rows: int = 5) -> JSONPreview:
        """Return the first rows for kedro-viz."""
        return JSONPreview(_preview(self.load(), rows))


class LinesDataset(PathDataset):
    """A JSONL file of plain dictionaries, one a line."""

    def load(self) -> list[dict[str, Any]]:
        """Read all lines."""
        with self._filepath.open(encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def save(self, data: list[dict[str, Any]]) -> None:
        """Write all lines."""
        write_text(self._filepath, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in data))


def _preview(table: Table, rows: int) -> str:
    return json.dumps(table.rows[:rows], ensure_ascii=False)
