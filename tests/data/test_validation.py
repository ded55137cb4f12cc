import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_images.core.errors import SettingsError
from automl_images.data.conversion import RejectedData, convert
from automl_images.data.findings import CODES, FindingLog, short
from automl_images.data.formats.base import RawObject, Sample
from automl_images.data.framing import frame_of
from automl_images.data.geometry import Frame, clip, crosses_itself, polygon_area
from automl_images.data.images import ImageInfo, read_image
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import split
from automl_images.data.validation import LABEL_KINDS, RowChecker, RowDropped

PIXELS = Frame(200, 100, 1, 200, 100)


def check(kind, frame=PIXELS, **fields):
    """Return the label of a sample, None if the row is dropped, and the codes of the findings."""
    log = FindingLog()
    sample = Sample("a.jpg", Path("file"), **fields)
    try:
        label = LABEL_KINDS.get(kind)(RowChecker(log), sample, frame, "row")
    except RowDropped:
        label = None
    assert label is not None or log.bad_rows == {"row"}
    return label, [finding.code for finding in log.findings]


def box(*corners, label="cat", **fields):
    return RawObject(label, corners, **fields)


@pytest.mark.parametrize(
    ("corners", "expected", "codes"),
    [
        ((20, 10, 100, 50), (0.1, 0.1, 0.5, 0.5), []),
        ((0, 0, 200, 100), (0, 0, 1, 1), []),
        ((0, 0, 200.009, 100), (0, 0, 1, 1), []),  # rounding of a text
        ((-0.5, 10, 100, 50), (0, 0.1, 0.5, 0.5), ["BOX_CLIPPED"]),
        ((100, 10, 250, 50), (0.5, 0.1, 1, 0.5), ["BOX_CLIPPED"]),
        ((100, 10, 310, 50), None, ["BOX_OUTSIDE_IMAGE"]),
        ((300, 10, 310, 50), None, ["BOX_OUTSIDE_IMAGE"]),
        ((-1e308, -1e308, 1e308, 1e308), None, ["BOX_OUTSIDE_IMAGE"]),
        ((100, 10, float("inf"), float("inf")), None, ["BOX_OUTSIDE_IMAGE"]),
        ((0, 0, 5e-324, 10), None, ["BOX_INVALID"]),
        ((199.999999999, 0, 200.000000001, 10), None, ["BOX_INVALID"]),
        ((100, 10, 100, 50), None, ["BOX_INVALID"]),
        ((100, 50, 120, 50.005), None, ["BOX_INVALID"]),  # one and the same line in float32 of a larger image
        ((-0.006, 10, 0.009, 50), None, ["BOX_INVALID"]),  # thin once it is cut
        ((100, 50, 120, 50.02), (0.5, 0.5, 0.6, 0.5002), ["BOX_TINY"]),
        ((100, 50, 120, 10), None, ["BOX_INVALID"]),
    ],
)
def test_boxes(corners, expected, codes):
    label, found = check("boxes", objects=[box(*corners), box(0, 0, 10, 10)])
    assert found == codes
    rest = {"label": "cat", "topX": 0.0, "topY": 0.0, "bottomX": 0.05, "bottomY": 0.1, "isCrowd": 0}
    kept = [dict(zip(("topX", "topY", "bottomX", "bottomY"), expected, strict=True))] if expected else []
    assert label == [*({"label": "cat", **k, "isCrowd": 0} for k in kept), rest]


def test_an_image_goes_only_when_no_annotation_is_left():
    assert check("boxes", objects=[box(5, 5, 1, 1)]) == (None, ["BOX_INVALID", "NO_VALID_OBJECTS"])
    assert check("boxes", objects=[]) == ([], [])
    assert check("polygons", objects=[]) == ([], [])


@pytest.mark.parametrize(
    ("value", "crowd"),
    [("true", 1), ("True", 1), ("1", 1), (1, 1), (True, 1), (1.0, 1), ("TRUE", 0), ("yes", 0), (2, 0), (None, 0), ([], 0), ({}, 0), ([1], 0)],
)  # fmt: skip
def test_crowd(value, crowd):
    label, _ = check("boxes", objects=[box(0, 0, 10, 10, crowd=value)])
    assert label[0]["isCrowd"] == crowd


@pytest.mark.parametrize("value", [None, 1.5, True, ["cat"], {"a": 1}])
def test_a_class_is_text_or_a_whole_number(value):
    assert check("boxes", objects=[box(0, 0, 10, 10, label=value)]) == (None, ["LABEL_WRONG_TYPE"])
    assert check("classes", label=[value]) == (None, ["LABEL_WRONG_TYPE"])
    expected = "LABEL_EMPTY" if value is None else "LABEL_WRONG_TYPE"
    assert check("class", label=value) == (None, [expected])


def test_classification_labels():
    assert check("class", label="cat") == ("cat", [])
    assert check("class", label=3) == ("3", [])
    assert check("class", label="  ") == (None, ["LABEL_EMPTY"])
    assert check("classes", label=["b", "a"]) == (["b", "a"], [])
    assert check("classes", label=["b", "a", "b"]) == (["b", "a"], ["LABEL_REPEATED"])
    assert check("classes", label="b") == (None, ["LABEL_WRONG_TYPE"])
    assert check("classes", label=[]) == ([], [])


def test_equal_boxes_are_kept_and_reported():
    label, codes = check("boxes", objects=[box(0, 0, 10, 10), box(0, 0, 10, 10), box(0, 0, 10, 10, label="dog")])
    assert len(label) == 3
    assert codes == ["BOX_DUPLICATE"]


TRIANGLE = [20.0, 10.0, 100.0, 10.0, 100.0, 50.0]


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        ([1, 2, 3, 4], "POLYGON_TOO_SHORT"),
        ([], "POLYGON_TOO_SHORT"),
        ([10, 10, 20, 20, 30, 30], "POLYGON_TOO_SHORT"),
        ([10, 70, 190, 70, 190, 70.005], "POLYGON_TOO_SHORT"),
        ([10, 70, 190, 70, 10, 70.005, 190, 70.005], "POLYGON_TOO_SHORT"),  # a thin 8
        ([10, 10, 20, 20, 300, 30], "POLYGON_OUTSIDE_IMAGE"),
        ([10, 10, 20, 20, 1e8, 30], "POLYGON_OUTSIDE_IMAGE"),
        ([10, 10, 20, 10, 20, 100.7], "POLYGON_CLIPPED"),
    ],
)
def test_segments(segment, code):
    label, codes = check("polygons", objects=[RawObject("cat", polygon=[TRIANGLE, segment])])
    assert codes == [code]
    assert label[0]["polygon"][0] == [0.1, 0.1, 0.5, 0.1, 0.5, 0.5]
    assert len(label[0]["polygon"]) == (2 if code == "POLYGON_CLIPPED" else 1)
    boxes, _ = check("boxes", objects=[RawObject("cat", polygon=[TRIANGLE, segment])])
    assert boxes[0]["bottomX"] == 0.5
    if code != "POLYGON_CLIPPED":
        alone = check("polygons", objects=[RawObject("cat", polygon=[segment])])
        assert alone == (None, [code, "NO_VALID_OBJECTS"] if segment else ["POLYGON_TOO_SHORT", "NO_VALID_OBJECTS"])


@pytest.mark.parametrize(
    ("points", "crosses"),
    [
        ([20, 10, 100, 50, 100, 10, 20, 50], True),  # an 8; its area by the shoelace formula is 0
        ([20, 10, 100, 50, 100, 10, 20, 60], True),
        ([20, 10, 100, 10, 100, 50, 20, 50], False),
        ([20, 10, 100, 10, 100, 50, 60, 10, 20, 50], False),  # a corner on an edge
        ([20, 10, 60, 30, 100, 10, 100, 50, 60, 30, 20, 50], False),  # a corner twice
    ],
)
def test_polygons_that_cross_themselves_are_kept_and_reported(points, crosses):
    label, codes = check("polygons", objects=[RawObject("cat", polygon=[[float(v) for v in points]])])
    assert len(label[0]["polygon"][0]) == len(points)
    assert codes == (["POLYGON_SELF_CROSSING"] if crosses else [])
    assert check("boxes", objects=[RawObject("cat", polygon=[[float(v) for v in points]])])[1] == []


@pytest.mark.parametrize("corners", [200, 5000])
def test_crossings_are_found_in_polygons_of_many_corners(corners):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = np.stack([0.5 + 0.4 * np.cos(angles), 0.5 + 0.4 * np.sin(angles)], axis=1)
    assert not crosses_itself(circle.ravel().tolist())
    some, others = corners // 3, corners // 3 + corners // 100
    circle[[some, others]] = circle[[others, some]]
    assert crosses_itself(circle.ravel().tolist())
    assert not crosses_itself([0.1, 0.1, 0.5, 0.5, 0.1, 0.5])


def test_crossings_are_found_among_more_pairs_of_edges_than_are_looked_at_at_once():
    spikes = [value for k in range(2000) for value in (0.1 + k / 10_000, 0.1 + 0.8 * (k % 2))]
    comb = [*spikes, 0.9, 0.05, 0.05, 0.05]
    assert not crosses_itself(comb)
    comb[1002] += 0.001  # over the ten spikes beside
    assert crosses_itself(comb)


@pytest.mark.parametrize(
    "points", [[0, 0, 100, 50, 50, 25], [0, 0, 100 / 3, 50 / 3, 200 / 3, 100 / 3], [0, 0, 100, 0, 0, 0, 0, 100]]
)
def test_segments_without_area_are_dropped(points):
    label, codes = check("polygons", objects=[RawObject("cat", polygon=[TRIANGLE, [float(v) for v in points]])])
    assert codes == ["POLYGON_TOO_SHORT"]
    assert len(label[0]["polygon"]) == 1


def test_equal_instances_are_kept_and_reported():
    label, codes = check("polygons", objects=[RawObject("cat", polygon=[TRIANGLE]) for _ in range(2)])
    assert len(label) == 2
    assert codes == ["BOX_DUPLICATE"]


def test_polygons_need_polygons():
    label, codes = check("polygons", objects=[box(0, 0, 10, 10), RawObject("dog", polygon=[TRIANGLE])])
    assert [item["label"] for item in label] == ["dog"]
    assert codes == ["POLYGON_MISSING"]


def test_geometry():
    assert clip((0.5, 0.0, 1.5, 1.0)) == ((0.5, 0.0, 1.0, 1.0), 0.5)
    assert clip((2.0, 0.0, 3.0, 1.0))[1] == 0.0
    assert polygon_area([0, 0, 2, 0, 2, 2, 0, 2]) == 4.0
    assert Frame(1, 1, 1, None, None).overshoot(-0.002, 0, 1, 1) == pytest.approx(2.0)


def info(width, height, orientation=1):
    raw = (height, width) if orientation >= 5 else (width, height)
    return ImageInfo(width, height, *raw, orientation, "jpg", "00")


@pytest.mark.parametrize(
    ("stated", "image", "scale", "orientation", "codes"),
    [
        ((200, 100), info(200, 100), (200, 100), 1, []),
        (None, info(200, 100), (200, 100), 1, []),
        ((400, 200), info(200, 100), (400, 200), 1, ["IMAGE_RESIZED"]),
        ((200, 100), info(100, 200, 6), (200, 100), 6, ["ANNOTATION_ROTATED"]),
        ((100, 200), info(100, 200, 6), (100, 200), 1, []),
        ((400, 200), info(100, 200, 6), (400, 200), 6, ["IMAGE_RESIZED", "ANNOTATION_ROTATED"]),
        (None, info(100, 200, 6), (100, 200), 1, ["ORIENTATION_AMBIGUOUS"]),
        ((200, 100), info(200, 100, 3), (200, 100), 1, ["ORIENTATION_AMBIGUOUS"]),
        ((200, 150), info(200, 100), None, 1, ["IMAGE_SIZE_MISMATCH"]),
        ((100, 200), info(200, 100), None, 1, ["IMAGE_SIZE_MISMATCH"]),
        ((200, 100), None, (200, 100), 1, []),
        (None, None, None, 1, ["IMAGE_SIZE_UNKNOWN"]),
    ],
)
def test_frames(stated, image, scale, orientation, codes):
    log = FindingLog()
    width, height = stated or (None, None)
    sample = Sample("a.jpg", Path("f"), objects=[box(0, 0, 10, 10)], width=width, height=height)
    if scale is None:
        with pytest.raises(RowDropped):
            frame_of(sample, image, RowChecker(log), "row")
    else:
        frame = frame_of(sample, image, RowChecker(log), "row")
        assert (frame.scale_x, frame.scale_y) == scale
        assert frame.orientation == orientation
    assert [finding.code for finding in log.findings] == codes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_of_the_stored_image_follow_its_exif_rotation(tmp_path, orientation):
    """The marked rectangle must be inside of the box, and only there, in the image as everything later sees it."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[10:30, 15:60] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 90, "height": 60}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [15, 10, 45, 20],
                "segmentation": [[15, 10, 60, 10, 60, 30, 15, 30]],
            }
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    conversion = convert(SourceOptions(path=tmp_path / "coco.json"), "boxes")
    found = {finding.code for finding in conversion.findings} & {"ANNOTATION_ROTATED", "ORIENTATION_AMBIGUOUS"}
    if orientation in (2, 3, 4):  # size does not tell; taken as upright, and said so
        assert found == {"ORIENTATION_AMBIGUOUS"}
        return
    assert found == (set() if orientation == 1 else {"ANNOTATION_ROTATED"})
    (row,) = conversion.rows
    image = read_image(row["image_url"])
    height, width = image.shape[:2]
    assert (row["image_details"]["width"], row["image_details"]["height"]) == (width, height)
    (item,) = row["label"]
    left, right = round(item["topX"] * width), round(item["bottomX"] * width)
    top, bottom = round(item["topY"] * height), round(item["bottomY"] * height)
    assert (image[top:bottom, left:right] == 255).all()
    assert (image == 255).all(axis=2).sum() == (bottom - top) * (right - left) == 900
    (polygon,) = convert(SourceOptions(path=tmp_path / "coco.json"), "polygons").rows[0]["label"]
    xs, ys = polygon["polygon"][0][0::2], polygon["polygon"][0][1::2]
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx(
        [item[k] for k in ("topX", "topY", "bottomX", "bottomY")]
    )


def test_codes_are_documented_and_unknown_ones_refused():
    for code, (severity, action, meaning) in CODES.items():
        assert code.isupper() or "16" in code
        assert severity in {"error", "warning"}
        assert action
        assert meaning
    with pytest.raises(KeyError):
        FindingLog().add("NO_SUCH_CODE", "", "")
    with pytest.raises(SettingsError, match="label kind"):
        LABEL_KINDS.get("box")


def test_values_are_shown_short_and_on_one_line():
    assert short("a\nb") == "a b"
    assert len(short("x" * 500)) == 100
    assert short({"a": 1}) == "{'a': 1}"


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("class", ["cat", 3, "dog"]),
        ("classes", [["cat"], [3], []]),
        ("boxes", [[{"label": c, "topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1}] for c in ("cat", 3)]),
        ("polygons", [[{"label": c, "polygon": [[0, 0, 1, 0, 1, 1]]}] for c in ("cat", 3)]),
    ],
)
def test_mixed_types_of_classes_fail_the_set(tmp_path, kind, labels):
    found = r"partly numbers and partly text: 'cat' at \S+t\.jsonl:1.*; 3 at \S+t\.jsonl:2"
    with pytest.raises(RejectedData, match=found):
        convert(rows_file(tmp_path, labels), kind)


def test_huge_numbers_are_told_in_few_digits(tmp_path):
    polygon = [{"label": "a", "polygon": [[0, 0, 1e300, 0, 1, 1]]}]
    with pytest.raises(RejectedData) as caught:
        convert(rows_file(tmp_path, [polygon]), "polygons")
    assert "2e+301" in str([f.message for f in caught.value.conversion.findings])
    with pytest.raises(RejectedData) as caught:
        convert(rows_file(tmp_path, [10**308, 10**307, "b"]), "class", max_invalid=1)
    assert "0" * 110 not in str([f.message for f in caught.value.conversion.findings]) + str(caught.value)


def rows_file(folder, labels):
    rows = []
    for n, label in enumerate(labels):
        Image.new("RGB", (20, 20), (n, 0, 0)).save(folder / f"{n}.png")
        rows.append({"image_url": f"{n}.png", "label": label})
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return SourceOptions(path=folder / "t.jsonl")


def test_numbers_as_classes_become_text(tmp_path):
    assert [row["label"] for row in convert(rows_file(tmp_path, [1, 2, 1]), "class").rows] == ["1", "2", "1"]


def test_images_without_any_of_several_classes_are_legal(tmp_path):
    conversion = convert(rows_file(tmp_path, [["cat"], [], ["dog", "cat"], ["dog"]]), "classes", strict=True)
    assert [row["label"] for row in conversion.rows] == [["cat"], [], ["dog", "cat"], ["dog"]]
    assert conversion.summary["empty_images"] == 1
    sides = split(conversion.rows, 0.25, 0, "classes")
    assert len(sides.training) + len(sides.validation) == 4
    with pytest.raises(RejectedData, match="empty label"):
        convert(rows_file(tmp_path, [[], []]), "classes")


def test_a_single_class_is_allowed_and_said(tmp_path):
    conversion = convert(rows_file(tmp_path, ["cat"] * 3), "class")
    assert len(conversion.rows) == 3
    assert [(f.code, f.value) for f in conversion.findings] == [("SINGLE_CLASS", "cat")]
    assert not convert(rows_file(tmp_path, [["cat"], ["cat"], []]), "classes").findings
    [finding] = convert(rows_file(tmp_path, [["cat"]] * 3), "classes").findings
    assert (finding.code, finding.message) == ("SINGLE_CLASS", "every image is of the class 'cat', there is no other")


def test_a_class_with_one_image_is_kept_and_said(tmp_path):
    conversion = convert(rows_file(tmp_path, ["cat", "cat", "dog"]), "class")
    assert [row["label"] for row in conversion.rows] == ["cat", "cat", "dog"]
    assert [(f.code, f.value) for f in conversion.findings] == [("CLASS_WITH_ONE_IMAGE", "dog")]
    assert conversion.findings[0].message == f"the class 'dog' has one image, {tmp_path / '2.png'}"
