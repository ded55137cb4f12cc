"""Three images annotated in every format that holds boxes."""

import json

import pytest
from reading import draw

SIZES = {"a.jpg": (80, 60), "b.jpg": (64, 64), "c.jpg": (50, 100)}
# image, class, box in pixels; c.jpg is background
OBJECTS = [("a.jpg", "cat", (8, 6, 40, 30)), ("a.jpg", "dog", (40, 30, 80, 60)), ("b.jpg", "cat", (0, 0, 16, 48))]


def coco(folder):
    names = sorted({name for _, name, _ in OBJECTS})
    files = list(SIZES)
    document = {
        "images": [{"id": i, "file_name": f, "width": w, "height": h} for i, (f, (w, h)) in enumerate(SIZES.items())],
        "categories": [{"id": 10 * i + 3, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": n,
                "image_id": files.index(f),
                "category_id": 10 * names.index(c) + 3,
                "bbox": [x, y, r - x, b - y],
                "iscrowd": 0,
            }
            for n, (f, c, (x, y, r, b)) in enumerate(OBJECTS)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return folder / "instances.json"


def voc(folder):
    for file, (width, height) in SIZES.items():
        objects = "".join(
            f"<object><name>{c}</name><difficult>1</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{r}</xmax>"
            f"<ymax>{b}</ymax></bndbox></object>"
            for f, c, (x, y, r, b) in OBJECTS
            if f == file
        )
        text = f"<annotation><filename>{file}</filename><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / file.replace(".jpg", ".xml")).write_text(text)
    return folder / "annotations"


def yolo(folder):
    names = ["dog", "cat"]
    (folder / "labels").mkdir()
    for file, (width, height) in SIZES.items():
        lines = [
            f"{names.index(c)} {(x + r) / 2 / width} {(y + b) / 2 / height} {(r - x) / width} {(b - y) / height}"
            for f, c, (x, y, r, b) in OBJECTS
            if f == file
        ]
        (folder / "labels" / file.replace(".jpg", ".txt")).write_text("\n".join(lines))
    (folder / "data.yaml").write_text("path: .\ntrain: ../images\nval: images\nnc: 2\nnames: {0: dog, 1: cat}\n")
    return folder / "data.yaml"


def jsonl(folder, name="rows.jsonl"):
    lines = []
    for file, (width, height) in SIZES.items():
        label = [
            {"label": c, "topX": x / width, "topY": y / height, "bottomX": r / width, "bottomY": b / height}
            for f, c, (x, y, r, b) in OBJECTS
            if f == file
        ]
        details = {"format": "jpg", "width": f"{width}px", "height": str(height)}
        lines.append({"image_url": f"images/{file}", "image_details": details, "label": label})
    (folder / name).write_text("\n".join(map(json.dumps, lines)))
    return folder / name


def mltable(folder):
    jsonl(folder)
    (folder / "MLTable").write_text(
        "paths:\n  - file: ./rows.jsonl\ntransformations:\n  - read_json_lines: {encoding: utf8, invalid_lines: error}\n"
    )
    return folder


WRITERS = {"coco": coco, "voc": voc, "yolo": yolo, "jsonl": jsonl, "mltable": mltable}


@pytest.fixture
def folder(tmp_path):
    """A folder with the images, in `images/`."""
    for name, shape in SIZES.items():
        draw(tmp_path / "images" / name, *shape)
    return tmp_path


@pytest.fixture
def annotated():
    """What the formats state: sizes by image, and objects as image, class, corners in pixels."""
    return SIZES, OBJECTS


@pytest.fixture
def write(folder):
    """A function that writes the annotations in a format and returns the path of the source."""
    return lambda form: WRITERS[form](folder)
