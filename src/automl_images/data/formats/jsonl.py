"""JSON lines as the service reads them (specification A.2): `image_url`, `image_details`, `label`.

The older rows of one box each, with `imageUrl` and `imageDetails`, are read too. Paths are relative to the file, or to
`images`; they may leave these folders for the working directory only, because tables that the project writes point
from their own folder to images elsewhere in it. Images further away need `images` to say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.findings import kind_of
from automl_images.data.formats.base import READERS, Malformed, RawObject, Reader, Sample, number, polygon_of, size
from automl_images.data.sources import ImageLocator

_CORNERS = ("topX", "topY", "bottomX", "bottomY")


@READERS.register("jsonl")
class JsonlReader(Reader):
    """Reads one JSONL file."""

    name = "jsonl"
    kinds = frozenset({"class", "classes", "boxes", "polygons"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A file called .jsonl or .ndjson."""
        return path.is_file() and path.suffix.lower() in {".jsonl", ".ndjson"}

    def read(self) -> Iterator[Sample]:
        """Yield one sample a line."""
        if not self.source.path.is_file():
            raise DataError(f"Expected a JSONL file, but {self.source.path} is none.")
        yield from self.read_files([self.source.path])

    def locator(self) -> ImageLocator:
        """Names are relative to `images` or to the file's folder; see the module."""
        folder = self.source.path if self.source.path.is_dir() else self.source.path.parent
        roots = [*self.image_roots(), folder]
        return ImageLocator(roots, [Path.cwd()], absolute=True, on_disk=self.check_images)

    def read_files(self, files: list[Path], encoding: str = "utf-8", *, drop_invalid: bool = True) -> Iterator[Sample]:
        """Yield the samples of several files.

        Args:
            files: in the order in which they are read.
            encoding: Python's name of the encoding.
            drop_invalid: report lines that are not JSON and go on; else raise.

        Raises:
            DataError: an invalid line that must not be dropped, or no row with an image or a label at all.
        """
        rows = images = labels = 0
        for file in files:
            for line, row in self._rows(file, encoding, drop_invalid):
                rows += 1
                sample = self._sample(row, file, line)
                images += sample is not None
                labels += self._label_key(row) is not None
                if sample is not None:
                    yield sample
        if rows and not images:
            raise DataError(f"{files[0]}: no row has an image; expected the path or URL of one under 'image_url'.")
        if rows and not labels:
            raise DataError(f"{files[0]}: no labels found; no row has the column {self.target_column!r}.")

    def _rows(self, file: Path, encoding: str, drop_invalid: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        for line, content in _lines(file, encoding):
            try:
                row = _parse(self._decoded(content, file, line))
            except Malformed as error:
                if not drop_invalid:
                    raise DataError(f"{file}:{line} cannot be read: {error.code}: {error}.") from error
                self.log.add(error.code, str(error), file, line=line, value=error.value)
            else:
                if row is not None:
                    yield line, row

    def _decoded(self, content: bytes | str, file: Path, line: int) -> str:
        if isinstance(content, str):
            return content
        if len(content) > strict_json.MAX_LINE_BYTES:
            raise Malformed("LINE_TOO_LONG", f"more than {strict_json.MAX_LINE_BYTES} bytes")
        try:
            text, bom = strict_json.decode(content)
        except strict_json.JsonError as error:
            raise Malformed(error.code, str(error)) from error
        if bom:
            self.log.add("FILE_BYTE_ORDER_MARK", "the file begins with a byte order mark", file, line=line)
        return text

    def _label_key(self, row: dict[str, Any]) -> str | None:
        return self.target_column if self.target_column in row else None

    def _sample(self, row: dict[str, Any], file: Path, line: int) -> Sample | None:
        legacy = "image_url" not in row and "imageUrl" in row
        image = row.get("imageUrl" if legacy else "image_url")
        if not isinstance(image, str):
            self.log.add("ID_MISSING", "a row needs an image_url", file, line=line, value=image)
            return None
        details = row.get("imageDetails" if legacy else "image_details")
        details = details if isinstance(details, dict) else {}
        sample = Sample(image, file, normalised=True, line=line, one_of_many=legacy)
        sample.width, sample.height = size(details.get("width")), size(details.get("height"))
        key = self._label_key(row)
        if key is None:
            problem = Malformed("LABEL_MISSING", f"the row has no {self.target_column!r}")
            sample.objects = [RawObject(None, problem=problem)]
        elif self.kind in {"class", "classes"}:
            sample.label = row[key]
        else:
            sample.objects = self._objects(row[key], legacy)
        return sample

    def _objects(self, label: Any, legacy: bool) -> list[RawObject]:
        if legacy and isinstance(label, dict):
            label = [label]
        if not isinstance(label, list):
            problem = Malformed("LABEL_WRONG_TYPE", f"expected a list of objects, got {kind_of(label)}", label)
            return [RawObject(None, problem=problem)]
        return [self._object(item, entry) for item, entry in enumerate(label)]

    def _object(self, item: int, entry: Any) -> RawObject:
        result = RawObject(None, item=item)
        try:
            if not isinstance(entry, dict) or "label" not in entry:
                raise Malformed("ANNOTATION_ILL_FORMED", "expected an object with a label", entry)
            result.label = entry["label"]
            result.crowd = entry.get("isCrowd", 0)
            if entry.get("polygon"):
                result.polygon = polygon_of(entry["polygon"])
            elif self.kind == "boxes":
                result.box = _box(entry)
        except Malformed as problem:
            result.problem = problem
        return result


def _box(entry: dict[str, Any]) -> tuple[float, float, float, float]:
    missing = [name for name in _CORNERS if name not in entry]
    if missing:
        raise Malformed("ANNOTATION_ILL_FORMED", f"a box without {', '.join(missing)}", entry)
    left, top, right, bottom = (number(entry[name]) for name in _CORNERS)
    return left, top, right, bottom


def _parse(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        row = strict_json.loads(text)
    except strict_json.JsonError as error:
        raise Malformed(error.code, str(error), text[:100]) from error
    if not isinstance(row, dict):
        raise Malformed("ROW_NOT_OBJECT", f"expected an object, got {kind_of(row)}", text[:100])
    return row


def _lines(file: Path, encoding: str) -> Iterator[tuple[int, bytes | str]]:
    if encoding != "utf-8":
        try:
            yield from enumerate(file.read_text(encoding).split("\n"), 1)
        except UnicodeError as error:
            raise DataError(f"{file} is not in the encoding {encoding}: {error}.") from error
        return
    with file.open("rb") as stream:
        number_ = 0
        while content := stream.readline(strict_json.MAX_LINE_BYTES + 1):
            number_ += 1
            yield number_, content
            while len(content) > strict_json.MAX_LINE_BYTES and not content.endswith(b"\n"):
                content = stream.readline(strict_json.MAX_LINE_BYTES + 1) or b"\n"
