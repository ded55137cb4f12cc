import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from automl_images.core.files import sha256
from automl_images.data.images import inspect_image, read_image
from automl_images.data.sample.__main__ import draw, jpeg, scene, single, versions
from automl_images.data.sample.outlines import area, bounds, polygons
from automl_images.data.sample.things import KINDS

SAMPLE = Path(__file__).parents[2] / "data" / "01_raw" / "sample"
COCO = json.loads((SAMPLE / "coco" / "annotations.json").read_text())
CLASSES = {c["id"]: c["name"] for c in COCO["categories"]}


def annotations(image):
    return [a for a in COCO["annotations"] if a["image_id"] == image["id"]]


def drawn_with_these_versions():
    return versions() in (SAMPLE / "README.md").read_text()


@pytest.mark.parametrize("number", [1, 5, 11, 42, 128])
def test_a_scene_drawn_again_is_the_committed_one(number):
    drawn = scene(number)
    image = COCO["images"][number - 1]
    assert [(t.kind, t.outlines) for t in drawn.things] == [
        (CLASSES[a["category_id"]], a["segmentation"]) for a in annotations(image)
    ]
    path = SAMPLE / "images" / image["file_name"]
    if drawn_with_these_versions():
        assert jpeg(drawn) == path.read_bytes()
    assert np.abs(read_image(path).astype(int) - drawn.pixels).mean() < 6  # JPEG's loss


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_thing_drawn_again_is_the_committed_one(kind):
    drawn, path = single(kind, 7), SAMPLE / "folders" / kind / f"{kind}_07.jpg"
    if drawn_with_these_versions():
        assert jpeg(drawn) == path.read_bytes()
    assert np.abs(read_image(path).astype(int) - drawn.pixels).mean() < 6
    assert [thing.kind for thing in drawn.things] == [kind]


@pytest.mark.slow
def test_the_whole_sample_drawn_again_is_byte_identical(tmp_path):
    draw(tmp_path)
    files = {p.relative_to(SAMPLE) for p in SAMPLE.rglob("*") if p.is_file()}
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()} == files
    same = {f for f in files if sha256(SAMPLE / f) == sha256(tmp_path / f)}
    ignored = set() if drawn_with_these_versions() else {f for f in files if f.suffix in {".jpg", ".md"}}
    assert files - same - ignored == set()


def test_another_seed_draws_another_picture():
    assert jpeg(scene(1, seed=1)) != jpeg(scene(1))


def test_the_sample_is_as_large_and_varied_as_promised():
    assert len(COCO["images"]) == 128
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 4_000_000
    counts = [len(annotations(image)) for image in COCO["images"]]
    assert counts.count(0) >= 4
    assert counts.count(1) >= 8
    assert max(counts) == 6
    assert sum(count >= 2 for count in counts) > 90
    for name in KINDS:
        assert sum(CLASSES[a["category_id"]] == name for a in COCO["annotations"]) >= 80
        assert len(list((SAMPLE / "folders" / name).glob("*.jpg"))) >= 30
    assert len({(i["width"], i["height"]) for i in COCO["images"]}) >= 4


def test_every_picture_is_sound_and_of_the_size_that_its_annotations_say():
    for image in COCO["images"]:
        info = inspect_image(SAMPLE / "images" / image["file_name"])
        assert (info.width, info.height, info.format, info.warnings) == (image["width"], image["height"], "jpg", ())


def test_a_detector_that_knows_only_the_mean_box_fails():
    """The average precision of guessing cannot exceed its recall; at IoU 0.5 one box a class finds next to nothing."""
    found = 0
    for category in CLASSES:
        boxes = np.asarray([a["bbox"] for a in COCO["annotations"] if a["category_id"] == category], float)
        x, y, w, h = boxes.mean(axis=0)
        overlap = np.clip(
            np.minimum(boxes[:, :2] + boxes[:, 2:], [x + w, y + h]) - np.maximum(boxes[:, :2], [x, y]), 0, None
        ).prod(axis=1)
        found += (overlap / (boxes[:, 2] * boxes[:, 3] + w * h - overlap) > 0.5).sum()
    assert found / len(COCO["annotations"]) < 0.1


def test_all_formats_say_the_same():
    names = [
        re.split(r":\s*", line)[1]
        for line in (SAMPLE / "yolo" / "data.yaml").read_text().splitlines()
        if line.startswith("  ")
    ]
    for image in COCO["images"]:
        stem = Path(image["file_name"]).stem
        expected = [(CLASSES[a["category_id"]], *a["bbox"]) for a in annotations(image)]
        tree = ElementTree.parse(SAMPLE / "voc" / f"{stem}.xml")
        assert tree.findtext("filename") == image["file_name"]
        voc = []
        for element in tree.iter("object"):
            x0, y0, x1, y1 = (int(element.findtext(f"bndbox/{c}")) for c in ("xmin", "ymin", "xmax", "ymax"))
            voc.append((element.findtext("name"), x0, y0, x1 - x0, y1 - y0))
        assert voc == expected
        lines = (SAMPLE / "yolo" / "labels" / f"{stem}.txt").read_text().split("\n")[:-1]
        assert len(lines) == len(expected)
        for line, (name, x, y, w, h) in zip(lines, expected, strict=True):
            index, *shares = line.split()
            assert names[int(index)] == name
            size = [image["width"], image["height"]] * 2
            np.testing.assert_allclose(np.asarray(shares, float) * size, [x + w / 2, y + h / 2, w, h], atol=1e-5)


def test_the_table_of_kinds_agrees_with_the_objects():
    with (SAMPLE / "multilabel.csv").open() as stream:
        table = {Path(r["image"]).name: set(r["labels"].split(";")) for r in csv.DictReader(stream)}
    for image in COCO["images"]:
        assert table.get(image["file_name"], set()) == {CLASSES[a["category_id"]] for a in annotations(image)}


def test_polygons_lie_in_their_boxes_and_do_not_overlap():
    for image in COCO["images"][:40]:
        cover = np.zeros((image["height"], image["width"]), int)
        for a in annotations(image):
            x, y, w, h = a["bbox"]
            assert w >= 3
            assert h >= 3
            assert min(x, y) >= 0
            assert x + w <= image["width"]
            assert y + h <= image["height"]
            assert bounds(a["segmentation"]) == (x, y, x + w, y + h)
            assert a["area"] == sum(map(area, a["segmentation"]))
            cover += filled(a["segmentation"], cover.shape)
        assert (cover > 1).mean() < 0.01  # corners cut by simplifying


def filled(outlines, shape):
    """Pixels whose centre lies inside, drawn at eight times the size so that the edges of Pillow's polygons fade."""
    canvas = Image.new("1", (shape[1] * 8, shape[0] * 8))
    for outline in outlines:
        ImageDraw.Draw(canvas).polygon([v * 8 for v in outline], fill=1)
    return np.array(canvas)[4::8, 4::8]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_outlines_cover_their_mask(seed):
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:60, 0:80]
    mask = np.zeros((60, 80), bool)
    for _ in range(rng.integers(1, 4)):
        x, y, w, h = rng.uniform(10, 70), rng.uniform(10, 50), rng.uniform(6, 25), rng.uniform(6, 25)
        mask |= ((xs - x) / w) ** 2 + ((ys - y) / h) ** 2 < 1
    again = filled(polygons(mask), mask.shape)
    assert (again & mask).sum() / (again | mask).sum() > 0.93


def test_outlines_by_hand():
    mask = np.zeros((20, 20), bool)
    mask[2:8, 3:9] = True
    assert polygons(mask) == [[3, 2, 9, 2, 9, 8, 3, 8]]
    mask[4:6, 5:7] = False  # a hole is filled
    mask[8:14, 9:15] = True  # touches at a corner only: a part of its own
    mask[18, 18] = True  # a speck is dropped
    assert sorted(polygons(mask)) == [[3, 2, 9, 2, 9, 8, 3, 8], [9, 8, 15, 8, 15, 14, 9, 14]]
    assert polygons(np.zeros((5, 5), bool)) == []
