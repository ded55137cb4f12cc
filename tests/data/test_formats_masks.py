import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import draw

from automl_images.core.errors import DataError
from automl_images.data.conversion import convert
from automl_images.data.formats import recognise
from automl_images.data.masks import rasterise
from automl_images.data.sources import SourceOptions

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "dsb2018_nuclei"
BOX = {"topX": 0.25, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6}


def ids(width=40, height=30):
    """Two instances, one of them in two parts with a hole."""
    values = np.zeros((height, width), np.uint16)
    values[6:18, 10:20] = 1
    values[20:28, 2:12] = 7
    values[22:26, 4:8] = 0
    values[20:24, 30:35] = 7
    return values


def save(values, path, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values if mode == "I;16" else values.astype(np.uint8))
    if mode == "P":
        picture.putpalette([(17 * n) % 256 for n in range(768)])
    picture.convert("1").save(path) if mode == "1" else picture.save(path)


def source(folder, **fields):
    return SourceOptions(path=folder / "masks", **fields)


def convert_all(folder, kind="polygons", **fields):
    return convert(source(folder, **fields), kind, max_invalid=1.0)


def codes(conversion):
    return [f.code for f in conversion.findings if f.code not in {"POLYGON_FROM_MASK", "CLASS_WITH_ONE_IMAGE"}]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_instances_become_polygons(tmp_path, mode):
    draw(tmp_path / "images" / "a.jpg")
    save(ids() * (9000 if mode == "I;16" else 1), tmp_path / "masks" / "a.png", mode)
    assert recognise(tmp_path / "masks", "polygons") == "masks"
    conversion = convert_all(tmp_path)
    (row,) = conversion.rows
    assert [item["label"] for item in row["label"]] == ["object", "object"]
    assert [len(item["polygon"]) for item in row["label"]] == [1, 3]
    for item, value in zip(row["label"], (1, 7), strict=True):
        assert (rasterise(item["polygon"], 40, 30) == (ids() == value)).all()
    (finding,) = [f for f in conversion.findings if f.code == "POLYGON_FROM_MASK"]
    assert finding.value == "0.00%"
    assert "2 masks" in finding.message
    boxes = convert_all(tmp_path, "boxes", class_name="cup").rows[0]["label"]
    assert boxes[0] == {"label": "cup", **BOX, "isCrowd": 0}


def test_two_colours_are_one_instance(tmp_path):
    draw(tmp_path / "images" / "a.jpg")
    save((ids() > 0) * 255, tmp_path / "masks" / "a.png", "1")
    assert len(convert_all(tmp_path).rows[0]["label"]) == 1


def test_class_folders(tmp_path):
    draw(tmp_path / "images" / "deep" / "a.jpg")
    draw(tmp_path / "images" / "b.png", seed=1)
    save(ids(), tmp_path / "masks" / "cup" / "a.png")
    save(ids(), tmp_path / "masks" / "dish" / "sub" / "a.png")
    save(np.zeros((30, 40)), tmp_path / "masks" / "dish" / "b.png")
    save(ids(), tmp_path / "masks" / "a.png")
    conversion = convert_all(tmp_path, class_name="other")
    rows = {Path(row["image_url"]).name: [item["label"] for item in row["label"]] for row in conversion.rows}
    assert rows == {"a.jpg": ["other"] * 2 + ["cup"] * 2 + ["dish"] * 2, "b.png": []}
    assert codes(conversion) == []


def test_what_is_wrong_is_found_and_the_rest_kept(tmp_path):
    for number, name in enumerate(("good", "size", "broken", "rgb", "unmarked", "twice")):
        draw(tmp_path / "images" / f"{name}.jpg", seed=number)
    draw(tmp_path / "images" / "twice.png", seed=9)
    for name in ("good", "lonely", "twice"):
        save(ids(), tmp_path / "masks" / f"{name}.png")
    save(ids(20, 30), tmp_path / "masks" / "size.png")
    (tmp_path / "masks" / "broken.png").write_bytes((tmp_path / "masks" / "good.png").read_bytes()[:60])
    draw(tmp_path / "masks" / "rgb.png")
    conversion = convert_all(tmp_path)
    assert [Path(row["image_url"]).stem for row in conversion.rows] == ["good"]
    found = sorted((f.code, Path(f.item or f.file).name.partition(":")[0]) for f in conversion.findings)
    assert [entry for entry in found if entry[0].startswith(("LABEL", "MASK"))] == [
        ("LABEL_FILE_WITHOUT_IMAGE", "lonely.png"),
        ("LABEL_FILE_WITHOUT_IMAGE", "twice.png"),
        ("MASK_INVALID", "broken.png"),
        ("MASK_INVALID", "rgb.png"),
        ("MASK_MISSING", "unmarked.jpg"),
        ("MASK_SIZE_MISMATCH", "size.png"),
    ]
    assert conversion.summary["rows_bad"] == 5


def test_masks_of_one_photo_must_be_of_one_size(tmp_path):
    draw(tmp_path / "images" / "a.jpg")
    save(ids(), tmp_path / "masks" / "cup" / "a.png")
    save(ids(80, 60), tmp_path / "masks" / "dish" / "a.png")
    with pytest.raises(DataError, match="MASK_SIZE_MISMATCH"):
        convert_all(tmp_path)


@pytest.mark.parametrize("size", [(40, 30), (80, 60), (30, 40)])
def test_a_mask_has_the_very_size_of_its_image(tmp_path, size):
    draw(tmp_path / "images" / "a.jpg")
    draw(tmp_path / "images" / "b.jpg", seed=1)
    save(ids(*size), tmp_path / "masks" / "a.png")
    save(ids(), tmp_path / "masks" / "b.png")
    conversion = convert_all(tmp_path)
    assert len(conversion.rows) == (2 if size == (40, 30) else 1)
    assert codes(conversion) == ([] if size == (40, 30) else ["MASK_SIZE_MISMATCH"])


def test_a_mask_of_the_stored_image_is_turned_with_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(tmp_path / "images" / "a.jpg", exif=exif)
    save(ids(), tmp_path / "masks" / "a.png")
    conversion = convert_all(tmp_path)
    assert codes(conversion) == ["ANNOTATION_ROTATED"]
    turned = np.rot90(ids(), -1) == 1
    assert (rasterise(conversion.rows[0]["label"][0]["polygon"], 30, 40) == turned).mean() > 0.99


def test_folders_that_cannot_be_used(tmp_path):
    save(ids(), tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match="name the folder of the photos"):
        convert_all(tmp_path, format="masks")
    with pytest.raises(DataError, match="Expected the folder of the images"):
        convert_all(tmp_path, format="masks", images=tmp_path / "absent")
    draw(tmp_path / "a.jpg")
    assert len(convert_all(tmp_path, format="masks", images=tmp_path).rows) == 1
    draw(tmp_path / "images" / "a.jpg")
    draw(tmp_path / "photos" / "a.png")
    with pytest.raises(DataError, match="not clear"):
        recognise(tmp_path / "photos", "polygons")
    (tmp_path / "photos" / "a.png").write_bytes(b"no png")
    with pytest.raises(DataError, match="not clear"):
        recognise(tmp_path / "photos", "polygons")


@pytest.mark.parametrize("photos", ["photos", "."])
def test_auto_looks_for_photos_where_they_are_said_to_be(tmp_path, photos):
    draw(tmp_path / photos / "a.png")
    save(ids(), tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match="not clear: it looks like none"):
        convert_all(tmp_path)
    conversion = convert_all(tmp_path, images=tmp_path / photos)
    assert conversion.summary["format"] == "masks"
    assert len(conversion.rows) == 1
    with pytest.raises(DataError, match="Expected the folder of the images"):
        convert_all(tmp_path, images=tmp_path / "absent")


def test_auto_does_not_take_photos_for_masks(tmp_path):
    save(ids(), tmp_path / "train" / "images" / "a.png")
    save(ids(), tmp_path / "validation" / "images" / "b.png")
    for images in (tmp_path, tmp_path / "train", tmp_path / "train" / "images"):
        with pytest.raises(DataError, match="not clear: it looks like none"):
            recognise(tmp_path / "train", "polygons", images)


@pytest.mark.parametrize(("bad", "known"), [("broken", True), ("colour", True), ("colours", False)])
def test_one_bad_mask_does_not_decide_on_the_format(tmp_path, bad, known):
    for name in ("b", "c"):
        draw(tmp_path / "images" / f"{name}.jpg")
        save(ids(), tmp_path / "masks" / f"{name}.png")
    for name in {"broken": ["a"], "colour": ["a"], "colours": ["a", "aa", "ab"]}[bad]:
        draw(tmp_path / "masks" / f"{name}.png")
    if bad == "broken":
        (tmp_path / "masks" / "a.png").write_bytes(b"no png")
    if known:
        assert recognise(tmp_path / "masks", "polygons") == "masks"
    else:
        with pytest.raises(DataError, match="looks like none"):
            recognise(tmp_path / "masks", "polygons")


@pytest.mark.skipif(not NUCLEI.exists(), reason="the shared data sets are not here")
def test_nuclei_are_those_of_the_coco_file():
    document = json.loads((NUCLEI / "instances.json").read_text())
    files = {entry["id"]: entry["file_name"] for entry in document["images"]}
    count, area = dict.fromkeys(files.values(), 0), dict.fromkeys(files.values(), 0)
    for entry in document["annotations"]:
        count[files[entry["image_id"]]] += 1
        area[files[entry["image_id"]]] += entry["area"]
    conversion = convert(SourceOptions(path=NUCLEI / "masks", class_name="nucleus"), "polygons")
    assert [(f.code, f.value) for f in conversion.findings] == [("POLYGON_FROM_MASK", "0.00%")]
    assert list(conversion.summary["classes"]) == ["nucleus"]
    assert len(conversion.rows) == len(files)
    for row in conversion.rows:
        name, details = Path(row["image_url"]).name, row["image_details"]
        masks = [rasterise(item["polygon"], details["width"], details["height"]) for item in row["label"]]
        assert len(masks) == count[name]
        assert sum(mask.sum() for mask in masks) == pytest.approx(area[name], rel=5e-4)


def test_auto_leaves_masks_that_lie_beside_annotations_to_them(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "voc" / "SegmentationClass").mkdir(parents=True)
    (tmp_path / "voc" / "1.xml").write_text("<annotation><filename>1.jpg</filename></annotation>")
    Image.new("P", (8, 8)).save(tmp_path / "voc" / "SegmentationClass" / "1.png")
    assert recognise(tmp_path / "voc", "boxes", tmp_path / "photos") == "voc"
