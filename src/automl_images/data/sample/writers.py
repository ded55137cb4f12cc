"""The formats that the same annotated pictures are written in: COCO JSON, Pascal VOC XML, YOLO text, CSV.

Owns the text of the files, nothing else. Coordinates are whole pixels, edges counted from 0, so that all formats say
the same.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from xml.sax.saxutils import escape

from automl_images.data.sample.outlines import area, bounds
from automl_images.data.sample.scene import Thing


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file name, its size in pixels, and what is to be found in it."""

    file_name: str
    width: int
    height: int
    things: Sequence[Thing]


def coco(pictures: Sequence[Picture], kinds: Sequence[str]) -> str:
    """Return COCO JSON with boxes and polygons, a line for each entry."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, picture in enumerate(pictures, start=1):
        size = {"width": picture.width, "height": picture.height}
        images.append({"id": number, "file_name": picture.file_name, **size})
        for thing in picture.things:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **_coco_object(thing, kinds)})
    categories = [{"id": i, "name": kind, "supercategory": "food"} for i, kind in enumerate(kinds, start=1)]
    parts = {"images": images, "annotations": annotations, "categories": categories}
    lists = [f'"{key}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]" for key, entries in parts.items()]
    info = json.dumps({"description": "AutoML Images, bundled sample: a fridge shelf", "version": "1"})
    return "{\n" + ",\n".join([f'"info": {info}', '"licenses": []', *lists]) + "\n}\n"


def _coco_object(thing: Thing, kinds: Sequence[str]) -> dict[str, object]:
    x0, y0, x1, y1 = bounds(thing.outlines)
    return {
        "category_id": kinds.index(thing.kind) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": sum(area(outline) for outline in thing.outlines),
        "segmentation": thing.outlines,
        "iscrowd": 0,
    }


def voc(picture: Picture) -> str:
    """Return the Pascal VOC XML of one picture."""
    lines = [
        "<annotation>",
        "  <folder>images</folder>",
        f"  <filename>{escape(picture.file_name)}</filename>",
        f"  <size><width>{picture.width}</width><height>{picture.height}</height><depth>3</depth></size>",
    ]
    for thing in picture.things:
        x0, y0, x1, y1 = bounds(thing.outlines)
        lines += [
            "  <object>",
            f"    <name>{escape(thing.kind)}</name>",
            f"    <bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>"]) + "\n"


def yolo(picture: Picture, kinds: Sequence[str]) -> str:
    """Return the YOLO lines of one picture: class, centre, width and height as shares of the picture."""
    lines = []
    for thing in picture.things:
        x0, y0, x1, y1 = bounds(thing.outlines)
        shares = (
            (x0 + x1) / 2 / picture.width,
            (y0 + y1) / 2 / picture.height,
            (x1 - x0) / picture.width,
            (y1 - y0) / picture.height,
        )
        lines.append(f"{kinds.index(thing.kind)} " + " ".join(f"{share:.8f}" for share in shares) + "\n")
    return "".join(lines)


def yolo_definition(kinds: Sequence[str]) -> str:
    """Return the data.yaml beside the labels."""
    names = "".join(f"  {i}: {kind}\n" for i, kind in enumerate(kinds))
    return f"path: ..\ntrain: images\nnames:\n{names}"


def multilabel(pictures: Sequence[Picture]) -> str:
    """Return a CSV of pictures and the kinds in them, divided by `;`; pictures without any are left out."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "labels"])
    for picture in pictures:
        if picture.things:
            table.writerow([f"images/{picture.file_name}", ";".join(sorted({t.kind for t in picture.things}))])
    return text.getvalue()
