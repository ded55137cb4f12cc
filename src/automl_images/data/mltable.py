"""Rows on disk and rows as arrays: `MLTable` folders, `annotations.jsonl`, and the one place that (de)normalises.

Owns the files that the project writes (specification A.3 and A.2) and reads back, and the step between coordinates
normalised to [0, 1] (rows, scoring responses) and pixels. Tables of strangers are read by `formats/mltable.py`, which
checks every row; what stands here trusts rows that passed `conversion.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from automl_images.core.errors import DataError
from automl_images.core.files import replacing, write_text
from automl_images.core.types import Detections, FloatArray, Objects, Row, Table
from automl_images.data import mask_codes, strict_json
from automl_images.data.mask_outlines import MAX_POINTS, outlines
from automl_images.data.masks import MaskArray, canvas_size, rasterise

ROWS_FILE = "annotations.jsonl"
TABLE_FILE = "MLTable"

DECIMALS = 9
"""Decimals of normalised coordinates in rows and responses."""

TABLE_TEXT = f"""\
paths:
  - file: ./{ROWS_FILE}
transformations:
  - read_json_lines: {{encoding: utf8, invalid_lines: error, include_path_column: false}}
  - convert_column_types:
      - {{columns: image_url, column_type: stream_info}}
"""


def is_url(image_url: str) -> bool:
    """Tell whether an `image_url` has a scheme (`https://…`) rather than being a path."""
    return "://" in image_url


def write_table(rows: Iterable[Row], folder: Path | str) -> None:
    """Write `rows` as an MLTable: the folder with the files `MLTable` and `annotations.jsonl`, each atomically.

    Args:
        rows: with `image_url` an absolute path or a URL.
        folder: made if absent; paths are written relative to it.
    """
    folder = Path(folder)
    write_rows(rows, folder / ROWS_FILE)
    write_text(folder / TABLE_FILE, TABLE_TEXT)


def read_table(path: Path | str) -> Table:
    """Read an MLTable that this project wrote.

    Args:
        path: the folder, or the file `MLTable` in it.

    Raises:
        DataError: there is no such table, or a line is not JSON.
    """
    path = Path(path)
    folder = path.parent if path.name == TABLE_FILE else path
    if not (folder / TABLE_FILE).is_file():
        raise DataError(f"Expected an MLTable folder, but {folder} holds no file named {TABLE_FILE!r}.")
    return Table(read_rows(folder / ROWS_FILE), folder)


def write_rows(rows: Iterable[Row], file: Path | str) -> None:
    """Write `rows` as JSON lines, atomically; `image_url` becomes relative to the file's folder, with slashes."""
    file = Path(file)
    folder = os.path.realpath(file.parent)
    relative: dict[str, str] = {}
    with replacing(file) as temporary, temporary.open("wb") as stream:
        for row in rows:
            stored = {**row, "image_url": _relative(row["image_url"], folder, relative)}
            stream.write(_json_line(stored))


def read_rows(file: Path | str) -> list[Row]:
    """Read rows that `write_rows` wrote; `image_url` becomes absolute.

    Raises:
        DataError: the file is missing or a line is not a JSON object with an `image_url`.
    """
    return list(_read_rows(Path(file)))


def class_names(rows: Iterable[Row], kind: str) -> list[str]:
    """Return the sorted class names of `rows` whose labels are of `kind` (`class`, `classes`, `boxes`, `polygons`)."""
    names: set[str] = set()
    for row in rows:
        names.update(labels_of(row["label"], kind))
    return sorted(names)


def labels_of(label: Any, kind: str) -> list[str]:
    """Return the class names in the `label` of one row, one per object or class, in the row's order."""
    if kind == "class":
        return [label]
    return list(label) if kind == "classes" else [item["label"] for item in label]


def objects_from_row(
    row: Row, class_index: Mapping[str, int], width: int, height: int, *, masks: bool = False, codes: bool = False
) -> Objects:
    """Return the annotated objects of a row of kind `boxes` or `polygons` in pixels.

    Args:
        row: its boxes are in [0, 1]; where an object has polygons, the box is the one around them.
        class_index: class name to label.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        masks: fill the polygons, which all objects must then have.
        codes: the same, but return run-length codes, which take next to no memory.
    """
    label = row["label"]
    boxes = np.array([normalised_box(item) for item in label], np.float64).reshape(-1, 4)
    boxes *= (width, height, width, height)
    labels = np.array([class_index[item["label"]] for item in label], np.int64)
    crowd = np.array([bool(item.get("isCrowd", 0)) for item in label], np.bool_)
    shapes = _shapes(label, width, height, masks=masks, codes=codes)
    return Objects(boxes.astype(np.float32), labels, crowd, *shapes)


def detections_to_response(
    detections: Detections,
    classes: Sequence[str],
    width: int,
    height: int,
    *,
    max_points: int = MAX_POINTS,
    exact: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """Return the detections of one image in the schema of the scoring response (specification J.1).

    Args:
        detections: boxes in pixels of the upright image; they are clipped to it. Where there are masks each object has
            its `polygon` too; an object whose mask is empty is left out.
        classes: class names by label.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        max_points: of a polygon's outline.
        exact: add the `mask` itself to each object, as COCO's run-length code, which a polygon of few points only
            resembles.
    """
    scale = np.array([width, height, width, height], np.float64)
    boxes = np.clip(detections.boxes.astype(np.float64) / scale, 0.0, 1.0).round(DECIMALS).tolist()
    found = zip(boxes, detections.labels.tolist(), detections.scores.tolist(), strict=True)
    boxes_out = [{"box": box_dict(b), "label": classes[label], "score": round(s, 6)} for b, label, s in found]
    if detections.masks is None:
        return {"boxes": boxes_out}
    outlined = [
        found | _outlined(mask, max_points, exact) for found, mask in zip(boxes_out, detections.masks, strict=True)
    ]
    return {"boxes": [found for found in outlined if found["polygon"]]}


def detections_from_response(
    response: Mapping[str, Any],
    class_index: Mapping[str, int],
    width: int,
    height: int,
    *,
    masks: bool = False,
    codes: bool = False,
) -> Detections:
    """Return the detections in pixels that a scoring response of one image holds; the inverse of the above.

    Args:
        response: of one image.
        class_index: class name to label.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        masks: give exact masks where the response holds them, else filled polygons, which all objects must then have.
        codes: the same, as run-length codes.
    """
    found = response["boxes"]
    boxes = np.array([normalised_box(item["box"]) for item in found], np.float64).reshape(-1, 4)
    boxes *= (width, height, width, height)
    labels = np.array([class_index[item["label"]] for item in found], np.int64)
    scores = np.array([item["score"] for item in found], np.float32)
    shapes = _shapes(found, width, height, masks=masks, codes=codes)
    return Detections(boxes.astype(np.float32), labels, scores, *shapes)


def classes_to_response(probabilities: FloatArray, classes: Sequence[str]) -> dict[str, list[Any]]:
    """Return the probabilities `(C,)` of one image in the schema of the scoring response (specification J.1)."""
    return {"probs": [round(value, 6) for value in probabilities.tolist()], "labels": list(classes)}


def classes_from_response(response: Mapping[str, Any], classes: Sequence[str]) -> FloatArray:
    """Return the probabilities `(C,)`, in the order of `classes`, that a scoring response of one image holds."""
    found = dict(zip(response["labels"], response["probs"], strict=True))
    return np.array([found[name] for name in classes], np.float32)


def box_dict(box: Sequence[float]) -> dict[str, float]:
    """Return a normalised xyxy box under the names of the specification."""
    return {"topX": box[0], "topY": box[1], "bottomX": box[2], "bottomY": box[3]}


def normalised_box(item: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return the normalised xyxy box of an object of a row; the one around its polygon where it has one."""
    if "polygon" in item:
        xs = [x for segment in item["polygon"] for x in segment[0::2]]
        ys = [y for segment in item["polygon"] for y in segment[1::2]]
        return min(xs), min(ys), max(xs), max(ys)
    return item["topX"], item["topY"], item["bottomX"], item["bottomY"]


def _outlined(mask: MaskArray, max_points: int, exact: bool) -> dict[str, Any]:
    polygon = [[round(value, DECIMALS) for value in segment] for segment in outlines(mask, max_points)]
    return {"polygon": polygon, "mask": mask_codes.to_json(_code(mask))} if exact else {"polygon": polygon}


def _shapes(
    items: Sequence[Mapping[str, Any]], width: int, height: int, *, masks: bool, codes: bool
) -> tuple[MaskArray | None, mask_codes.Codes | None]:
    """Return the masks `(N, h, w)` of objects of a row or response, on the image's canvas, or their codes `(N,)`."""
    if codes:
        coded = np.empty(len(items), np.object_)
        for number, item in enumerate(items):
            exact = item.get("mask")
            coded[number] = mask_codes.from_json(exact) if exact else _code(rasterise(item["polygon"], width, height))
        return None, coded
    if not masks:
        return None, None
    w, h = canvas_size(width, height)
    filled = np.zeros((len(items), h, w), np.bool_)
    for item, mask in zip(items, filled, strict=True):
        exact = item.get("mask")
        mask[:] = mask_codes.decode(mask_codes.from_json(exact)) if exact else rasterise(item["polygon"], width, height)
    return filled, None


def _code(mask: MaskArray) -> dict[str, Any]:
    [code] = mask_codes.encode(mask[None])
    return dict(code)


def _json_line(row: Row) -> bytes:
    """Return a row as a line of JSON, three times as fast as the standard library, which sees what looks like a NaN."""
    line = to_json(row)
    if b"NaN" in line or b"Infinity" in line:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return line + b"\n"


def _relative(image_url: str, folder: str, known: dict[str, str]) -> str:
    """Return `image_url` relative to `folder`; `known` remembers the folders of images."""
    if is_url(image_url):
        return image_url
    parent, name = os.path.split(image_url)
    if parent not in known:
        try:
            known[parent] = os.path.relpath(parent, folder).replace(os.sep, "/")
        except ValueError:  # Windows: another drive
            known[parent] = Path(parent).as_posix()
    return name if known[parent] == "." else f"{known[parent]}/{name}"


def _read_rows(file: Path) -> Iterator[Row]:
    if not file.is_file():
        raise DataError(f"Expected rows in {file}, but there is no such file.")
    folder = os.path.realpath(file.parent)
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = strict_json.loads(line)
                url = row["image_url"]
            except (strict_json.JsonError, KeyError, TypeError) as error:
                raise DataError(f"{file}:{number} is not a row of a table: {error}.") from error
            row["image_url"] = url if is_url(url) else os.path.normpath(Path(folder, url))
            yield row
