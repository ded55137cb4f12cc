import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from automl_images.core.errors import DataError
from automl_images.core.types import Detections
from automl_images.data import mltable
from automl_images.data.conversion import convert
from automl_images.data.mltable import (
    class_names,
    detections_from_response,
    detections_to_response,
    objects_from_row,
    read_rows,
    read_table,
    write_rows,
    write_table,
)
from automl_images.data.sources import SourceOptions

TABLE = """\
paths:
  - file: ./annotations.jsonl
transformations:
  - read_json_lines: {encoding: utf8, invalid_lines: error, include_path_column: false}
  - convert_column_types:
      - {columns: image_url, column_type: stream_info}
"""

ROWS = [
    {
        "image_url": "/photos/a b.jpg",
        "image_details": {"format": "jpg", "width": 200, "height": 100, "sha256": "ab"},
        "label": [
            {"label": "Kätzchen", "topX": 0.1, "topY": 0.2, "bottomX": 0.123456789, "bottomY": 1e-9, "isCrowd": 1},
            {
                "label": "NaN",
                "isCrowd": 0,
                "polygon": [[0.25, 0.5, 0.75, 0.5, 0.75, 1.0], [0.0, 0.0, 0.1, 0.0, 0.1, 0.1]],
            },
        ],
    },
    {"image_url": "https://example.org/b.png?x=1", "image_details": {}, "label": []},
    {"image_url": "/photos/c.jpg", "image_details": {"format": "jpg"}, "label": "cat"},
    {"image_url": "/photos/d\u2028.jpg", "image_details": {}, "label": ["cat", "dog"]},
]


def test_a_table_is_written_as_specified_and_read_again_equal(tmp_path):
    write_table(ROWS, tmp_path / "deep" / "table")
    assert (tmp_path / "deep" / "table" / "MLTable").read_text() == TABLE
    assert yaml.safe_load(TABLE)["paths"] == [{"file": "./annotations.jsonl"}]
    table = read_table(tmp_path / "deep" / "table")
    assert table.rows == ROWS
    assert table.path == tmp_path / "deep" / "table"
    assert read_table(tmp_path / "deep" / "table" / "MLTable").rows == ROWS
    assert {path.name for path in (tmp_path / "deep" / "table").iterdir()} == {"MLTable", "annotations.jsonl"}


def test_lines_are_plain_utf8_with_relative_paths(tmp_path):
    inside = {**ROWS[2], "image_url": str(tmp_path.resolve() / "images" / "c.jpg")}
    write_rows([*ROWS, inside], tmp_path / "t" / "rows.jsonl")
    content = (tmp_path / "t" / "rows.jsonl").read_bytes()
    assert b"\r" not in content
    assert "Kätzchen".encode() in content
    urls = [json.loads(line)["image_url"] for line in content.split(b"\n")[:-1]]
    assert urls[0].startswith("../")
    assert urls[0].endswith("/photos/a b.jpg")
    assert urls[1] == ROWS[1]["image_url"]
    assert urls[-1] == "../images/c.jpg"
    assert read_rows(tmp_path / "t" / "rows.jsonl") == [*ROWS, inside]


def test_a_table_can_be_moved_together_with_its_images(tmp_path):
    row = {**ROWS[2], "image_url": str(tmp_path.resolve() / "one" / "images" / "c.jpg")}
    write_table([row], tmp_path / "one" / "table")
    shutil.move(tmp_path / "one", tmp_path / "two")
    (moved,) = read_table(tmp_path / "two" / "table").rows
    assert moved["image_url"] == str(tmp_path.resolve() / "two" / "images" / "c.jpg")


def test_a_table_reached_by_a_link_reads_the_same(tmp_path):
    (tmp_path / "real" / "deeper").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deeper")
    write_table(ROWS, tmp_path / "link" / "table")
    assert read_table(tmp_path / "link" / "table").rows == ROWS
    assert read_table(tmp_path / "real" / "deeper" / "table").rows == ROWS


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_never_written_and_the_old_file_stays(tmp_path, value):
    write_rows(ROWS, tmp_path / "rows.jsonl")
    bad = {"image_url": "/a.jpg", "label": [{"label": "x", "topX": value}]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_rows([bad], tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("line", ["{", "[]", "5", "{}", '{"image_url": "a", "label": NaN}'])
def test_broken_rows_are_named(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text('{"image_url": "a.jpg", "label": []}\n' + line + "\n")
    with pytest.raises(DataError, match=r"rows\.jsonl:2 "):
        read_rows(tmp_path / "rows.jsonl")


def test_missing_tables_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no file named 'MLTable'"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "rows.jsonl")


def test_class_names_of_every_kind():
    assert class_names(ROWS[:2], "boxes") == ["Kätzchen", "NaN"]
    assert class_names([ROWS[2]], "class") == ["cat"]
    assert class_names([ROWS[3], {"label": ["Zebra"]}], "classes") == ["Zebra", "cat", "dog"]


def test_objects_are_in_pixels_and_a_polygon_gives_the_box():
    row = {
        "label": [
            {"label": "b", "topX": 0.25, "topY": 0.5, "bottomX": 0.75, "bottomY": 1.0, "isCrowd": 1},
            {
                "label": "a",
                "topX": 0,
                "topY": 0,
                "bottomX": 1,
                "bottomY": 1,
                "polygon": [[0.25, 0.5, 0.5, 0.5, 0.5, 0.75]],
            },
        ]
    }
    objects = objects_from_row(row, {"a": 0, "b": 1}, 200, 100)
    assert objects.boxes.dtype == np.float32
    assert objects.boxes.tolist() == [[50, 50, 150, 100], [50, 50, 100, 75]]
    assert objects.labels.tolist() == [1, 0]
    assert objects.crowd.tolist() == [True, False]
    empty = objects_from_row({"label": []}, {}, 200, 100)
    assert empty.boxes.shape == (0, 4)
    assert len(empty) == 0


boxes = st.lists(
    st.tuples(*[st.floats(0, 1)] * 4).map(
        lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(boxes, st.integers(1, 5000), st.integers(1, 5000))
def test_responses_and_detections_are_inverse(found, width, height):
    scale = np.array([width, height, width, height])
    corners = (np.array(found).reshape(-1, 4) * scale).astype(np.float32)
    scores = np.linspace(0.9, 0.1, len(found)).astype(np.float32)
    detections = Detections(corners, np.arange(len(found)) % 2, scores)
    response = detections_to_response(detections, ["x", "y"], width, height)
    json.dumps(response, allow_nan=False)
    back = detections_from_response(response, {"x": 0, "y": 1}, width, height)
    assert np.allclose(back.boxes, corners, atol=1e-3)
    assert np.allclose(back.scores, scores, atol=1e-6)
    assert back.labels.tolist() == detections.labels.tolist()


def test_response_has_the_schema_of_the_specification_and_is_clipped():
    detections = Detections(np.array([[-5, 10, 50, 120]], np.float32), np.array([1]), np.array([0.5], np.float32))
    assert detections_to_response(detections, ["x", "y"], 100, 100) == {
        "boxes": [{"box": {"topX": 0.0, "topY": 0.1, "bottomX": 0.5, "bottomY": 1.0}, "label": "y", "score": 0.5}]
    }


def test_polygons_of_rows_become_masks_on_the_canvas():
    row = {
        "label": [
            {"label": "a", "isCrowd": 0, "polygon": [[0.1, 0.2, 0.9, 0.2, 0.9, 0.8, 0.1, 0.8], [0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6]]},
            {"label": "a", "isCrowd": 1, "polygon": [[0.0, 0.0, 0.5, 0.0, 0.5, 0.5, 0.0, 0.5]]},
        ]
    }  # fmt: skip
    objects = objects_from_row(row, {"a": 0}, 100, 50, masks=True)
    assert objects.masks.shape == (2, 50, 100)
    assert objects.masks.sum(axis=(1, 2)).tolist() == [80 * 30 - 20 * 10, 50 * 25]
    assert objects.boxes.tolist() == [[10, 10, 90, 40], [0, 0, 50, 25]]
    assert objects_from_row(row, {"a": 0}, 100, 50).masks is None
    assert objects_from_row(row, {"a": 0}, 8000, 4000, masks=True).masks.shape == (2, 1024, 2048)
    assert objects_from_row({"label": []}, {}, 100, 50, masks=True).masks.shape == (0, 50, 100)


def test_responses_carry_the_outlines_of_masks():
    masks = np.zeros((3, 50, 100), bool)
    masks[0, 10:30, 20:60] = True
    masks[0, 15:20, 30:40] = False
    masks[2, 40:, 90:] = True
    boxes = np.array([[20, 10, 60, 30], [0, 0, 5, 5], [90, 40, 100, 50]], np.float32)
    detections = Detections(boxes, np.array([1, 0, 0]), np.array([0.9, 0.8, 0.7], np.float32), masks)
    response = detections_to_response(detections, ["x", "y"], 100, 50)
    json.dumps(response, allow_nan=False)
    assert [(found["label"], len(found["polygon"])) for found in response["boxes"]] == [("y", 2), ("x", 1)]
    assert all(0 <= v <= 1 for found in response["boxes"] for segment in found["polygon"] for v in segment)
    back = detections_from_response(response, {"x": 0, "y": 1}, 100, 50, masks=True)
    assert (back.masks == masks[[0, 2]]).all()
    assert back.boxes.tolist() == boxes[[0, 2]].tolist()
    assert detections_from_response(response, {"x": 0, "y": 1}, 100, 50).masks is None
    nothing = detections_from_response({"boxes": []}, {}, 100, 50, masks=True)
    assert nothing.masks.shape == (0, 50, 100)
    assert detections_to_response(nothing, [], 100, 50) == {"boxes": []}


def test_responses_keep_to_the_number_of_points():
    y, x = np.mgrid[:200, :200]
    masks = (np.hypot(x - 100, y - 100) < 90)[None]
    detections = Detections(np.array([[10, 10, 190, 190]], np.float32), np.array([0]), np.ones(1, np.float32), masks)
    polygon = detections_to_response(detections, ["x"], 200, 200, max_points=20)["boxes"][0]["polygon"]
    assert [len(segment) // 2 <= 20 for segment in polygon] == [True]


def test_an_exact_response_gives_back_the_masks_however_few_points_its_polygons_have():
    rows, columns = np.mgrid[:60, :80]
    star = np.hypot(rows - 30, columns - 40) < 18 + 8 * np.sin(7 * np.arctan2(rows - 30, columns - 40))
    line = np.zeros((60, 80), bool)
    line[10, 5:70] = True
    masks = np.stack([star, line])
    boxes = np.array([[10, 2, 70, 58], [5, 10, 70, 11]], np.float32)
    found = Detections(boxes, np.array([0, 1]), np.array([0.9, 0.8], np.float32), masks)
    response = json.loads(json.dumps(detections_to_response(found, ["a", "b"], 80, 60, max_points=5, exact=True)))
    assert all(len(entry["polygon"][0]) <= 12 for entry in response["boxes"])
    again = detections_from_response(response, {"a": 0, "b": 1}, 80, 60, masks=True)
    assert np.array_equal(again.masks, masks)
    coded = detections_from_response(response, {"a": 0, "b": 1}, 80, 60, codes=True)
    assert coded.masks is None
    assert [coco_mask.area(code) for code in coded.codes] == [star.sum(), line.sum()]
    plain = detections_to_response(found, ["a", "b"], 80, 60, max_points=5)
    simplified = detections_from_response(plain, {"a": 0, "b": 1}, 80, 60, masks=True)
    assert not np.array_equal(simplified.masks, masks)


def test_a_written_table_is_a_source_again(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (30, 70, 3), np.uint8)).save(tmp_path / name)
    lines = [
        {"image_url": name, "label": [{"label": "cat", "topX": 1 / 3, "topY": 1 / 7, "bottomX": 2 / 3, "bottomY": 0.9}]}
        for name in ("a.png", "b.png")
    ]
    (tmp_path / "source.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first = convert(SourceOptions(path=tmp_path / "source.jsonl"), "boxes")
    write_table(first.rows, tmp_path / "table")
    assert read_table(tmp_path / "table").rows == first.rows
    again = convert(SourceOptions(path=tmp_path / "table", images=tmp_path), "boxes")
    assert again.summary["format"] == "mltable"
    assert again.rows == first.rows
    write_table(again.rows, tmp_path / "again")
    content = [(tmp_path / name / mltable.ROWS_FILE).read_bytes() for name in ("table", "again")]
    assert content[0] == content[1]


def test_a_written_table_needs_no_declaration_inside_the_working_directory(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "images").mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(project / "images" / "a.png")
    rows = [{"image_url": str(project.resolve() / "images" / "a.png"), "label": "cat"}]
    write_table(rows, project / "data" / "table")
    monkeypatch.chdir(project)
    assert convert(SourceOptions(path=project / "data" / "table"), "class").rows[0]["label"] == "cat"
    monkeypatch.chdir(project / "data")
    with pytest.raises(DataError, match="PATH_OUTSIDE_ROOT"):
        convert(SourceOptions(path=project / "data" / "table"), "class")


CHECK_WITH_PACKAGE = """
import json, sys
import mltable
frame = mltable.load(sys.argv[1]).to_pandas_dataframe()
labels = [[{k: v for k, v in item.items()} for item in label] for label in frame["label"]]
print(json.dumps({"columns": list(frame.columns), "labels": labels}))
"""


@pytest.mark.slow
def test_the_mltable_package_loads_what_we_write(tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed, so no environment can be made for the mltable package")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, tmp_path / "venv"], check=True)
    install = [uv, "pip", "install", "-q", "--python", python, "mltable", "pandas<3", "setuptools<81"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the mltable package does not install here: {done.stderr[-300:]}")
    box = {"label": "cat", "topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6, "isCrowd": 0}
    rows = [{"image_url": f"/photos/{n}.jpg", "image_details": {"width": 10}, "label": [box]} for n in range(3)]
    write_table(rows, tmp_path / "table")
    command = [python, "-c", CHECK_WITH_PACKAGE, tmp_path / "table"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    found = json.loads(loaded.stdout.splitlines()[-1])
    assert found["columns"] == ["image_url", "image_details", "label"]
    assert found["labels"] == [[box]] * 3
