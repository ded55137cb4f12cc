from pathlib import Path

import numpy as np
import pytest
from reading import draw, named, options

from automl_images.core.errors import DataError, SettingsError
from automl_images.data.conversion import convert
from automl_images.data.findings import FindingLog
from automl_images.data.formats import READERS, open_source, recognise
from automl_images.data.formats.base import Malformed, number, size
from automl_images.data.sources import ImageLocator, PathError, SourceOptions

SHARED = Path(__file__).parents[3] / "shared" / "data"
CORNERS = ("topX", "topY", "bottomX", "bottomY")
FORMATS = ("coco", "voc", "yolo", "jsonl", "mltable")


@pytest.mark.parametrize("form", FORMATS)
def test_every_box_format_gives_the_same_rows_and_is_recognised(write, annotated, form):
    sizes, marked = annotated
    path = write(form)
    assert recognise(path, "boxes") == form
    conversion = convert(options(path), "boxes")
    assert conversion.summary["format"] == form
    assert [f for f in conversion.findings if f.code != "CLASS_WITH_ONE_IMAGE"] == []
    rows = named(conversion.rows)
    assert set(rows) == set(sizes)
    for file, (width, height) in sizes.items():
        expected = [(c, x / width, y / height, r / width, b / height) for f, c, (x, y, r, b) in marked if f == file]
        found = [(o["label"], *(o[k] for k in CORNERS)) for o in rows[file]["label"]]
        assert [f[0] for f in found] == [e[0] for e in expected]
        assert np.allclose([f[1:] for f in found], [e[1:] for e in expected], atol=1e-9)
        assert {k: rows[file]["image_details"][k] for k in ("format", "width", "height")} == {
            "format": "jpg",
            "width": width,
            "height": height,
        }
        assert all(o["isCrowd"] == 0 for o in rows[file]["label"])


@pytest.mark.parametrize("name", READERS)
def test_conformance(name, tmp_path):
    reader = READERS.get(name)
    assert reader.name == name
    assert reader.kinds
    assert reader.kinds <= {"class", "classes", "boxes", "polygons"}
    (tmp_path / "empty").mkdir()
    assert reader.detect(tmp_path / "empty") is False
    (tmp_path / "empty" / "notes.txt").write_bytes(b"\xff\xfe not an annotation")
    assert reader.detect(tmp_path / "empty" / "notes.txt") is False
    source = options(tmp_path / "empty", format=name)
    with pytest.raises(DataError, match="empty"):
        list(reader(source, next(iter(reader.kinds)), "label", FindingLog()).read())


def test_auto_says_what_it_could_be(folder, write):
    write("coco")
    write("yolo")
    with pytest.raises(DataError, match="could be any of coco, yolo"):
        recognise(folder, "boxes")
    (folder / "nothing").mkdir()
    with pytest.raises(DataError, match="looks like none of coco"):
        recognise(folder / "nothing", "boxes")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "the file is empty"),
        ("a.json", '{"images": []}'.encode("utf-16"), "UTF-16 by its first bytes"),
        ("a.json", bytes(range(256)), "no UTF-8 text but binary"),
        ("a.json", b'{"images": [],\n "annot', r"a\.json:2 is no JSON: JSON_INVALID"),
        ("a.json", b'{"images": [], "annotations": []}', "would be COCO, but has no `categories`"),
        (
            "a.csv",
            b"image,label\na.jpg,cat\n",
            r"it looks like csv\. It looks like none of .*\(csv, folder have no labels of kind 'boxes'\)",
        ),
    ],
)
def test_auto_says_why_a_file_is_not_recognised(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        recognise(tmp_path / name, "boxes")


def test_auto_says_of_a_folder_what_keeps_it_from_being_a_format(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"train\.json:1 is no JSON"):
        recognise(tmp_path, "boxes")
    (tmp_path / "obj_train_data").mkdir()
    (tmp_path / "obj_train_data" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="without class names"):
        recognise(tmp_path / "obj_train_data", "boxes")
    (tmp_path / "obj.names").write_text("cat\n")
    with pytest.raises(DataError, match=f"names are in .*obj.names: give {tmp_path} as the path"):
        recognise(tmp_path / "obj_train_data", "boxes")


def test_open_source_refuses_unknown_formats_and_kinds(folder):
    with pytest.raises(SettingsError, match="Did you mean 'coco'"):
        open_source(options(folder, format="cocoa"), "boxes", "label", FindingLog())
    with pytest.raises(DataError, match="no labels of kind 'polygons'"):
        open_source(options(folder, format="voc"), "polygons", "label", FindingLog())
    with pytest.raises(DataError, match="nothing at"):
        open_source(options(folder / "absent"), "boxes", "label", FindingLog())


def test_source_options_refuse_mistyped_keys(tmp_path):
    with pytest.raises(ValueError, match="fromat"):
        SourceOptions(path=tmp_path, fromat="coco")


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not here")
def test_voc100_is_the_same_in_three_formats():
    base = SHARED / "voc100_multiformat" / "data" / "database"
    tables = {}
    for form in ("coco_format_v1", "coco_format_v2", "pascalvoc_format", "yolo_format"):
        conversion = convert(options(base / "gts" / form, images=base / "images"), "boxes", strict=True)
        tables[form] = [
            (
                row["image_url"],
                row["image_details"],
                sorted((o["label"], *(round(o[k], 4) for k in CORNERS)) for o in row["label"]),
                sorted(row["label"], key=lambda o: (o["label"], *(round(o[k], 4) for k in CORNERS))),
            )
            for row in conversion.rows
        ]
    first = tables.pop("coco_format_v1")
    assert len(first) == 100
    assert sum(len(row[3]) for row in first) == 273
    for table in tables.values():
        for a, b in zip(first, table, strict=True):
            assert a[:2] == b[:2]
            assert [o["label"] for o in a[3]] == [o["label"] for o in b[3]]
            corners = [[[o[k] for k in CORNERS] for o in row[3]] for row in (a, b)]
            assert np.abs(np.subtract(*corners)).max() < 1e-6


# --- small parts


@pytest.mark.parametrize(
    ("value", "result"), [("400px", 400), (" 12 ", 12), (7.0, 7), (0, None), ("x", None), (None, None)]
)
def test_size(value, result):
    assert size(value) == result


@pytest.mark.parametrize("value", [True, None, "abc", float("nan"), "inf", 10**400, [1], ""])
def test_number_refuses(value):
    with pytest.raises(Malformed):
        number(value)


def test_locator_prefers_roots_in_order_and_reaches_only_trusted_folders(tmp_path):
    draw(tmp_path / "two" / "b.png")
    (tmp_path / "one").mkdir()
    locator = ImageLocator([tmp_path / "one", tmp_path / "two"])
    root = str(tmp_path.resolve())
    assert locator.locate("b.png") == f"{root}/two/b.png"
    assert locator.locate("sub\\c.png") == f"{root}/one/sub/c.png"
    with pytest.raises(PathError, match="leaves"):
        locator.locate("../three/c.png")
    assert ImageLocator([tmp_path / "one"], [tmp_path]).locate("../three/c.png") == f"{root}/three/c.png"
    with pytest.raises(PathError, match="leaves"):
        ImageLocator([tmp_path / "one"]).locate("../one-more/c.png")
