import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from automl_images.core.types import Detections, Objects
from automl_images.data.mask_codes import areas, encode, encoded
from automl_images.evaluation.coco import NAMES, coco_metrics
from automl_images.evaluation.detection import detection_metrics, evaluate_detections
from automl_images.evaluation.matching import carry_masks, match, pool_objects

REFERENCE = Path(__file__).parents[2] / "../shared/data/coco_eval_reference"
reference = pytest.mark.skipif(not REFERENCE.exists(), reason="the COCO reference data are not on this machine")


def test_codes_are_those_of_pycocotools():
    masks = np.random.default_rng(0).random((5, 17, 31)) < 0.4
    masks[0], masks[1] = False, True
    codes = encode(masks)
    assert codes.shape == (5,)
    for code, mask in zip(codes, masks, strict=True):
        assert code == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        np.testing.assert_array_equal(coco_mask.decode(dict(code)), mask)
    np.testing.assert_array_equal(areas(codes), masks.sum(axis=(1, 2)))
    assert encode(masks[:0]).shape == (0,)


def test_codes_take_the_place_of_masks(make_scene):
    predictions, truths = make_scene(0, images=2, masks=True)
    item = encoded(predictions[0])
    assert item.masks is None
    assert len(item.codes) == len(item) > 1
    assert encoded(item) is item
    assert item.take(np.array([1])).codes[0] == item.codes[1]
    assert len(encoded(truths[0]).codes) == len(truths[0])
    without = dataclasses.replace(predictions[0], masks=None)
    assert encoded(without) is without


@pytest.mark.parametrize("metric_type", ["voc", "coco_voc"])
def test_codes_give_the_numbers_of_masks(make_scene, metric_type):
    predictions, truths = make_scene(3, masks=True)
    small = [encoded(p) for p in predictions], [encoded(t) for t in truths]
    ours = detection_metrics(*small, 4, metric_type=metric_type)
    assert ours == detection_metrics(predictions, truths, 4, metric_type=metric_type)
    boxes = (
        [dataclasses.replace(p, masks=None) for p in predictions],
        [dataclasses.replace(t, masks=None) for t in truths],
    )
    assert ours != detection_metrics(*boxes, 4, metric_type=metric_type)
    tables = [evaluate_detections(*pair, "abcd").as_dict() for pair in (small, (predictions, truths))]
    assert tables[0] == tables[1]


def test_matching_by_masks_is_the_rule_of_the_specification(make_scene):
    """Word for word: each detection looks at the object of its class that its mask overlaps most."""
    predictions, truths = make_scene(5, images=20, masks=True)
    result = match(pool_objects(predictions, truths, 4), 0.5)
    expected = []
    for image, (found, known) in enumerate(zip(predictions, truths, strict=True)):
        taken = set()
        for k in range(len(found)):
            mine = [t for t in range(len(known)) if known.labels[t] == found.labels[k]]
            overlaps = [_overlap(found.masks[k], known.masks[t], known.crowd[t]) for t in mine]
            best = mine[int(np.argmax(overlaps))] if mine else None
            outcome = 0
            if best is not None and max(overlaps) >= 0.5:
                outcome = -1 if known.crowd[best] else int(best not in taken)
                taken.add(best)
            expected.append((float(found.scores[k]), image, outcome))
    rows = zip(result.score.tolist(), result.image.tolist(), result.outcome.tolist(), strict=True)
    assert sorted(rows) == sorted(expected)
    assert {outcome for *_, outcome in expected} == {-1, 0, 1}


def _overlap(a, b, crowd):
    union = a.sum() if crowd else (a | b).sum()
    return (a & b).sum() / union if (a & b).any() else 0.0


def _nothing(size=160, masks=True):
    found = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return dataclasses.replace(found, masks=np.zeros((0, size, size), bool)) if masks else found


@pytest.mark.parametrize("masks", [True, False])
def test_images_without_objects_change_nothing_about_masks(make_scene, masks):
    predictions, truths = make_scene(1, images=6, masks=True)
    empty = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    more = [*predictions, _nothing(masks=masks), predictions[0]], [*truths, truths[0], empty]
    assert carry_masks(*more)
    metrics = detection_metrics(*more, 4, metric_type="coco_voc")
    assert metrics["recall"] < detection_metrics(predictions, truths, 4)["recall"]
    assert "box_" + NAMES[0] in metrics


def test_masks_of_different_sizes_in_an_image_are_an_error(make_scene):
    predictions, truths = make_scene(1, images=6, masks=True)
    other = [dataclasses.replace(p, masks=p.masks[:, ::2]) for p in predictions]
    with pytest.raises(ValueError, match="masks of one size"):
        detection_metrics(other, truths, 4)


def test_a_data_set_of_masks_fits_into_memory():
    """Masks as detectors give them: smooth outlines, here of a tenth of the image."""
    y, x = np.mgrid[:480, :640]
    centres = np.random.default_rng(0).uniform((0, 0), (640, 480), (20, 2))
    masks = np.stack([(x - cx) ** 2 + (y - cy) ** 2 < 100**2 for cx, cy in centres])
    size = sum(len(code["counts"]) + 500 for code in encode(masks))  # of the dictionary around it at most
    assert size * 500 * 100 / len(masks) < 100e6


@reference
def test_files_of_coco_read_as_objects_give_the_numbers_of_pycocotools():
    """Those over all areas: small, medium and large are told by the file's areas there, by the masks' here."""
    known = COCO(str(REFERENCE / "instances_val2014_100.json"))
    results = known.loadRes(str(REFERENCE / "instances_val2014_fakesegm100_results.json"))
    index = {category: number for number, category in enumerate(sorted(known.getCatIds()))}
    images = sorted({row["image_id"] for row in results.dataset["annotations"]} | set(known.getImgIds()))
    predictions, truths = [], []
    for image in images:
        rows, found = (c.loadAnns(c.getAnnIds(imgIds=image)) for c in (known, results))
        found.sort(key=lambda row: -row["score"])
        scores = np.array([row["score"] for row in found], np.float32)
        predictions.append(Detections(*_boxes_and_labels(found, index), scores, codes=_codes(results, found)))
        crowd = np.array([row["iscrowd"] for row in rows], bool)
        truths.append(Objects(*_boxes_and_labels(rows, index), crowd, codes=_codes(known, rows)))
    ours = coco_metrics(predictions, truths, len(index))
    expected = json.loads((REFERENCE / "expected_pycocotools.json").read_text())["segm"]
    for place, name in enumerate(NAMES):
        if "area_all" in name:
            assert ours[name] == pytest.approx(expected[place], abs=1e-6), name


def _boxes_and_labels(rows, index):
    boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, np.array([index[row["category_id"]] for row in rows], np.int64)


def _codes(file, rows):
    codes = np.empty(len(rows), object)
    codes[:] = [file.annToRLE(row) for row in rows]
    return codes
