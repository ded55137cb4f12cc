import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from reading import codes, convert_all, edit_coco, named, options

from automl_images.data.conversion import convert
from automl_images.data.findings import CODES
from automl_images.data.formats.base import Malformed
from automl_images.data.formats.run_lengths import decode_mask
from automl_images.data.masks import rasterise


def ring(compressed):
    """Return a mask of 80 x 60 pixels with a hole, and the same as COCO's runs."""
    mask = np.zeros((60, 80), np.uint8, order="F")
    mask[10:40, 20:70] = 1
    mask[20:30, 30:50] = 0
    if compressed:
        runs = coco_mask.encode(mask)
        return mask.astype(bool), {"size": runs["size"], "counts": runs["counts"].decode()}
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return mask.astype(bool), {"size": [60, 80], "counts": np.diff([0, *edges, flat.size]).tolist()}


@pytest.mark.parametrize("compressed", [True, False])
def test_coco_masks_are_used_by_their_box_and_become_polygons(write, compressed):
    mask, runs = ring(compressed)

    def change(document):
        document["annotations"][0] |= {"iscrowd": 1, "segmentation": runs}
        document["annotations"][1]["segmentation"] = [[40, 30, 80, 30, 80, 60]]

    path = edit_coco(write, change)
    boxes = convert_all(path)
    assert [o["isCrowd"] for o in named(boxes.rows)["a.jpg"]["label"]] == [1, 0]
    assert "POLYGON_FROM_MASK" not in codes(boxes.findings)
    conversion = convert_all(path, "polygons")
    crowd, plain = named(conversion.rows)["a.jpg"]["label"]
    assert plain == {"label": "dog", "isCrowd": 0, "polygon": [[0.5, 0.5, 1.0, 0.5, 1.0, 1.0]]}
    assert crowd["isCrowd"] == 1
    assert len(crowd["polygon"]) == 2
    assert (rasterise(crowd["polygon"], 80, 60) == mask).all()
    (finding,) = [f for f in conversion.findings if f.code == "POLYGON_FROM_MASK"]
    assert (finding.item, finding.value, finding.action) == ("0", "0.00%", "converted mask")
    assert "1 masks" in finding.message


def test_a_coco_mask_without_bbox_gives_its_box(write):
    def change(document):
        document["annotations"][0]["segmentation"] = ring(True)[1]
        del document["annotations"][0]["bbox"]

    item = named(convert_all(edit_coco(write, change)).rows)["a.jpg"]["label"][0]
    assert (item["topX"], item["topY"], item["bottomX"], item["bottomY"]) == pytest.approx((0.25, 1 / 6, 0.875, 2 / 3))


@pytest.mark.parametrize(
    ("segmentation", "code"),
    [
        ({"size": [60, 80], "counts": [5, 5]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": [4790, 20, -10]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": [10**400]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": [4800.0]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": [[4800]]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": []}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": ""}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": "oooooooooooooooo"}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": "!\u2603"}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": "0o"}, "MASK_INVALID"),
        ({"size": [60, 80]}, "MASK_INVALID"),
        ({"size": [60, 80], "counts": [4800]}, "POLYGON_MISSING"),
        ({"size": [60, 80], "counts": [0, 0, 4800]}, "POLYGON_MISSING"),
        ({"size": [80, 60], "counts": [0, 4800]}, "MASK_SIZE_MISMATCH"),
        ({"size": [10**9, 10**9], "counts": [0, 10**18]}, "MASK_SIZE_MISMATCH"),
        ({"size": "60x80", "counts": [0, 4800]}, "MASK_SIZE_MISMATCH"),
        ({"counts": [0, 4800]}, "MASK_SIZE_MISMATCH"),
    ],
)
def test_hostile_coco_masks_are_findings(write, segmentation, code):
    def change(document):
        document["annotations"][0]["segmentation"] = segmentation
        document["annotations"][2]["segmentation"] = [[0, 0, 16, 0, 16, 48]]

    conversion = convert_all(edit_coco(write, change), "polygons")
    finding = next(f for f in conversion.findings if f.code == code)
    assert (finding.item, finding.action) == ("0", CODES[code][1])
    assert conversion.summary["objects"] == 1


def test_a_coco_mask_larger_than_any_image_is_not_decoded():
    with pytest.raises(Malformed, match="not decoded") as caught:
        decode_mask({"size": [100_000, 100_000], "counts": [0, 10**10]}, 100_000, 100_000)
    assert caught.value.code == "MASK_INVALID"


def masks_without_sizes(*masks):
    """Return a change that gives the first annotations masks, and takes the sizes from all images."""

    def change(document):
        for entry in document["images"]:
            del entry["width"], entry["height"]
        for entry in document["annotations"]:
            entry["segmentation"] = [[0, 0, 16, 0, 16, 48]]
        for entry, mask in zip(document["annotations"], masks, strict=False):
            entry["segmentation"] = mask

    return change


@pytest.mark.parametrize("check_images", [True, False])
def test_coco_masks_of_images_without_size_are_kept(write, check_images):
    mask, runs = ring(True)
    path = edit_coco(write, masks_without_sizes(runs, ring(False)[1]))
    conversion = convert(options(path), "polygons", check_images=check_images, max_invalid=1.0)
    errors = [f.code for f in conversion.findings if f.severity == "error"]
    assert errors == ([] if check_images else ["IMAGE_SIZE_UNKNOWN"])  # b.jpg has a polygon, and nobody its size
    first, second = named(conversion.rows)["a.jpg"]["label"]
    assert (rasterise(first["polygon"], 80, 60) == mask).all()
    assert (rasterise(second["polygon"], 80, 60) == mask).all()


@pytest.mark.parametrize("stated", [{}, {"width": 80}, {"width": "x", "height": 60}])
def test_coco_masks_of_another_size_than_the_image_are_found_with_both(write, stated):
    def change(document):
        masks_without_sizes({"size": [64, 80], "counts": [0, 64 * 80]}, {"size": [64, 80], "counts": [9, 5111]})(
            document
        )
        document["images"][0] |= stated

    conversion = convert_all(edit_coco(write, change), "polygons")
    [finding] = [f for f in conversion.findings if f.code == "MASK_SIZE_MISMATCH"]
    assert "the mask has 80 x 64, the image 80 x 60" in finding.message
    assert set(named(conversion.rows)) == {"b.jpg", "c.jpg"}


@pytest.mark.parametrize(
    ("second", "code", "message"),
    [
        ({"size": [64, 80], "counts": [0, 64 * 80]}, "MASK_SIZE_MISMATCH", "80 x 64, another mask of the image has 80 x 60"),
        ({"counts": [0, 4800]}, "MASK_INVALID", "must have a size"),
        ({"size": [60.0, 80], "counts": [0, 4800]}, "MASK_INVALID", "must have a size"),
        ({"size": [0, 0], "counts": [0]}, "MASK_INVALID", "must have a size"),
    ],
)  # fmt: skip
def test_hostile_coco_masks_of_images_without_size_are_findings(write, second, code, message):
    conversion = convert_all(edit_coco(write, masks_without_sizes(ring(True)[1], second)), "polygons")
    [finding] = [f for f in conversion.findings if f.severity == "error"]
    assert (finding.code, finding.item) == (code, "1")
    assert message in finding.message


def test_a_coco_mask_larger_than_its_image_without_size_is_a_finding(write):
    huge = {"size": [10**9, 10**9], "counts": [0, 10**18]}
    conversion = convert_all(edit_coco(write, masks_without_sizes(huge)), "polygons")
    assert "MASK_INVALID" in codes(conversion.findings)
    assert set(named(conversion.rows)) == {"b.jpg", "c.jpg"}


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40)))
def test_any_text_is_a_mask_or_malformed(text):
    try:
        mask, left = decode_mask({"size": [7, 9], "counts": text}, 9, 7)
    except Malformed:
        return
    assert mask.any()
    assert 0 <= left <= 9 - mask.shape[1]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.floats(0.01, 1))
def test_masks_are_decoded_as_by_pycocotools(width, height, seed, share):
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share)
    if not mask.any():
        return
    counts = coco_mask.encode(mask.astype(np.uint8))["counts"].decode()
    part, left = decode_mask({"size": [height, width], "counts": counts}, width, height)
    whole = np.zeros_like(mask)
    whole[:, left : left + part.shape[1]] = part
    assert (whole == mask).all()
