import json

import pytest
from reading import codes, convert_all, edit_coco, named, options

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.conversion import RejectedData, convert
from automl_images.data.findings import CODES

# --- COCO


@pytest.mark.parametrize(
    ("change", "code", "left"),
    [
        (lambda d: d["annotations"][0].update(category_id=99), "CATEGORY_UNKNOWN", 2),
        (lambda d: d["annotations"][0].update(category_id=[1]), "CATEGORY_UNKNOWN", 2),
        (lambda d: d["annotations"][0].update(image_id=99), "ANNOTATION_ON_UNKNOWN_IMAGE", 2),
        (lambda d: d["annotations"][0].update(image_id={}), "ANNOTATION_ON_UNKNOWN_IMAGE", 2),
        (lambda d: d["annotations"].append(5), "ANNOTATION_ON_UNKNOWN_IMAGE", 3),
        (lambda d: d["annotations"][1].update(id=0), "ANNOTATION_ID_DUPLICATE", 3),
        (lambda d: d["images"].append(d["images"][0] | {"file_name": "z.jpg"}), "IMAGE_ID_DUPLICATE", 3),
        (lambda d: d["categories"].append({"id": 3, "name": "cow"}), "CATEGORY_ID_DUPLICATE", 3),
        (lambda d: d["categories"].append({"name": "cow"}), "ID_MISSING", 3),
        (lambda d: d["categories"].append({"id": True, "name": "cow"}), "ID_MISSING", 3),
        (lambda d: d["categories"].append({"id": 77, "name": "cat"}), "CATEGORY_NAME_DUPLICATE", 3),
        (lambda d: d["images"].append(d["images"][0] | {"id": True}), "ID_MISSING", 3),
        (lambda d: d["images"][0].update(width=-5), "IMAGE_SIZE_INVALID", 3),
        (lambda d: d["images"][0].update(height=float("nan")), "IMAGE_SIZE_INVALID", 3),
        (lambda d: d["annotations"][2].update(image_id=True), "ANNOTATION_ON_UNKNOWN_IMAGE", 2),
        (lambda d: d["annotations"][0].update(category_id=True), "CATEGORY_UNKNOWN", 2),
        (lambda d: d["annotations"][0].update(iscrowd="maybe"), "CROWD_UNKNOWN", 3),
        (lambda d: d["annotations"][0].update(bbox=[8, 6, 0.02, 24]), "BOX_TINY", 3),
        (lambda d: d["annotations"][0].update(bbox=[8, 6, 0.0001, 24]), "BOX_INVALID", 2),
        (lambda d: d["images"].append({"id": 77}), "ID_MISSING", 3),
        (lambda d: d["annotations"][0].pop("bbox"), "ANNOTATION_ILL_FORMED", 1),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "ANNOTATION_ILL_FORMED", 1),
        (lambda d: d["annotations"][0].update(bbox=["x", 2, 3, 4]), "ANNOTATION_ILL_FORMED", 1),
        (lambda d: d["annotations"][0].update(bbox=[10**400, 2, 3, 4]), "ANNOTATION_ILL_FORMED", 1),
        (lambda d: d["annotations"][0].update(bbox=[5, 5, -3, -3]), "BOX_INVALID", 2),
        (lambda d: d["annotations"][0].update(bbox=[1e8, 1e8, 10, 10]), "BOX_OUTSIDE_IMAGE", 2),
        (lambda d: d["images"][0].update(file_name="../../etc/passwd"), "PATH_OUTSIDE_ROOT", 1),
        (lambda d: d["images"][0].update(file_name="/etc/passwd"), "PATH_OUTSIDE_ROOT", 1),
        (lambda d: d["images"][0].update(file_name="C:\\a.jpg"), "PATH_OUTSIDE_ROOT", 1),
        (lambda d: d["images"][0].update(file_name="\\\\host\\a.jpg"), "PATH_OUTSIDE_ROOT", 1),
        (lambda d: d["images"][0].update(file_name="a\0.jpg"), "PATH_INVALID", 1),
        (lambda d: d["images"][0].update(file_name=""), "PATH_INVALID", 1),
        (lambda d: d["images"][0].update(file_name="gone.jpg"), "IMAGE_MISSING", 1),
    ],
)
def test_coco_findings(write, change, code, left):
    conversion = convert_all(edit_coco(write, change))
    assert code in codes(conversion.findings)
    finding = next(f for f in conversion.findings if f.code == code)
    assert finding.file.endswith("instances.json")
    assert finding.severity == CODES[code][0]
    assert finding.action == CODES[code][1]
    assert conversion.summary["objects"] == left


def test_coco_numeric_strings_and_missing_sizes_are_accepted(write):
    def change(document):
        document["annotations"][0]["bbox"] = ["8", " 6 ", "32.0", 24]
        del document["images"][0]["width"]

    conversion = convert_all(edit_coco(write, change))
    assert named(conversion.rows)["a.jpg"]["label"][0] == {
        "label": "cat",
        "topX": 0.1,
        "topY": 0.1,
        "bottomX": 0.5,
        "bottomY": 0.5,
        "isCrowd": 0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [], "annotations": [{"id": 1, "id": 2}], "categories": []}', "JSON_DUPLICATE_KEY.*'id'"),
        ('{"images":[], "categories": [], "annotations":' + "[" * 100_000 + "}", "JSON_TOO_DEEP"),
        ('{"images": [], "annotations": [], "categories": ', "JSON_INVALID"),
        ('{"images": {}, "annotations": [], "categories": []}', "not COCO"),
        ('["images", "annotations", "categories"]', "not COCO"),
    ],
)
def test_coco_files_that_are_refused_as_a_whole(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        convert(options(tmp_path / "x.json", format="coco"), "boxes")


def convert_or_rejected(path, kind):
    try:
        return convert(options(path), kind, max_invalid=1)
    except RejectedData as error:
        return error.conversion


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("kind", ["boxes", "polygons"])
def test_a_number_that_is_none_costs_its_image_and_says_which(write, literal, kind):
    path = write("coco")
    document = json.loads(path.read_text())
    entry = document["annotations"][0]
    entry["area"] = document["annotations"][1]["area"] = "HERE"  # nobody reads the area
    entry["bbox"][2] = "HERE"
    if kind == "polygons":
        entry["segmentation"] = [["HERE", 1, 5, 1, 5, 5]]
    path.write_text(json.dumps(document).replace('"HERE"', literal))
    conversion = convert_or_rejected(path, kind)
    whole = {f.item for f in conversion.findings if f.severity == "error" and f.code != "POLYGON_MISSING"}
    [finding] = [f for f in conversion.findings if f.code == "ANNOTATION_ILL_FORMED"]
    assert (finding.file, finding.item, finding.action) == (str(path), str(entry["id"]), "dropped row")
    assert "NaN, infinity" in finding.message
    assert str(entry["id"]) in whole


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (("annotations", "image_id"), "ANNOTATION_ON_UNKNOWN_IMAGE"),
        (("annotations", "category_id"), "CATEGORY_UNKNOWN"),
        (("images", "id"), "ID_MISSING"),
        (("categories", "id"), "ID_MISSING"),
    ],
)
def test_an_id_that_is_no_number_is_found(write, place, code):
    path = write("coco")
    document = json.loads(path.read_text())
    document[place[0]][0][place[1]] = "HERE"
    path.write_text(json.dumps(document).replace('"HERE"', "NaN"))
    assert code in codes(convert_or_rejected(path, "boxes").findings)


def test_coco_byte_order_mark(write):
    path = write("coco")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    conversion = convert_all(path)
    assert "FILE_BYTE_ORDER_MARK" in codes(conversion.findings)
    assert len(conversion.rows) == 3


def test_large_json_is_parsed_by_the_same_rules():
    many = [{"id": n, "bbox": [0.1, 2, 3, 4]} for n in range(40_000)]
    text = json.dumps({"annotations": many})
    assert len(text) > 1_000_000
    assert strict_json.loads(text) == {"annotations": many}
    for bad, code in (
        (text.replace('"id": 39999', '"id": 39999, "id": 7'), "JSON_DUPLICATE_KEY"),
        (text.replace('"id": 39999', '"id": NaN'), "JSON_NOT_FINITE"),
        (text[:-1], "JSON_INVALID"),
        ("[" * 1_000_001, "JSON_TOO_DEEP"),
    ):
        with pytest.raises(strict_json.JsonError) as caught:
            strict_json.loads(bad)
        assert caught.value.code == code
    for literal in ("NaN", "Infinity"):
        found = strict_json.loads(text.replace('"id": 39999', f'"id": {literal}'), finite=False)["annotations"][-1][
            "id"
        ]
        assert repr(found) == repr(float(literal))
    tricky = json.dumps({"annotations": many, 'a":b': 'c":d'})
    assert strict_json.loads(tricky)["annotations"] == many
