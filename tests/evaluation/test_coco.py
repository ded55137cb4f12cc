import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from automl_images.evaluation.coco import BOX_PREFIX, NAMES, coco_metrics, coco_metrics_of_files
from automl_images.evaluation.matching import carry_masks

REFERENCE = Path(__file__).parents[2] / "../shared/data/coco_eval_reference"
reference = pytest.mark.skipif(not REFERENCE.exists(), reason="the COCO reference data are not on this machine")


def _xywh(box):
    x, y, right, bottom = (float(v) for v in box)
    return [x, y, right - x, bottom - y]


def _code(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def _annotations(truths, masks):
    for image, truth in enumerate(truths, 1):
        for k in range(len(truth)):
            box = _xywh(truth.boxes[k])
            row = {"image_id": image, "category_id": int(truth.labels[k]) + 1, "iscrowd": int(truth.crowd[k])}
            yield (
                {**row, "bbox": box, "area": box[2] * box[3]}
                if not masks
                else {
                    **row,
                    "bbox": box,
                    "segmentation": _code(truth.masks[k]),
                    "area": float(truth.masks[k].sum()),
                }
            )


def _results(predictions, geometry):
    for image, found in enumerate(predictions, 1):
        for k in range(len(found)):
            row = {"image_id": image, "category_id": int(found.labels[k]) + 1, "score": float(found.scores[k])}
            yield (
                {**row, "bbox": _xywh(found.boxes[k])}
                if geometry == "bbox"
                else {
                    **row,
                    "segmentation": _code(found.masks[k]),
                }
            )


def pycocotools_stats(predictions, truths, classes, geometry):
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": k, "height": 160, "width": 160} for k in range(1, len(truths) + 1)],
            "categories": [{"id": k} for k in range(1, classes + 1)],
            "annotations": [
                {"id": k, **row} for k, row in enumerate(_annotations(truths, carry_masks(predictions, truths)), 1)
            ],
        }
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(list(_results(predictions, geometry))), geometry)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_boxes_equal_pycocotools(make_scene, seed, distinct):
    predictions, truths = make_scene(seed, images=60, distinct=distinct)
    expected = pycocotools_stats(predictions, truths, 4, "bbox")
    ours = coco_metrics(predictions, truths, 4)
    assert list(ours) == list(NAMES)
    np.testing.assert_allclose(list(ours.values()), expected, rtol=0, atol=1e-9)
    assert 0.05 < expected[0] < 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_masks_and_their_boxes_equal_pycocotools(make_scene, seed):
    predictions, truths = make_scene(seed, masks=True)
    ours = coco_metrics(predictions, truths, 4)
    masks = pycocotools_stats(predictions, truths, 4, "segm")
    boxes = pycocotools_stats(predictions, truths, 4, "bbox")
    np.testing.assert_allclose([ours[name] for name in NAMES], masks, rtol=0, atol=1e-9)
    np.testing.assert_allclose([ours[BOX_PREFIX + name] for name in NAMES], boxes, rtol=0, atol=1e-9)
    assert not np.allclose(masks, boxes)


def test_more_than_a_hundred_detections_an_image(objects, detections):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (150, 2))
    rows = [([x, y, x + 20, y + 20], 0) for x, y in corners]
    truths = [objects(rows)]
    found = [detections([(box, 0, 1 - k / 200) for k, (box, _) in enumerate(rows)])]
    expected = pycocotools_stats(found, truths, 1, "bbox")
    np.testing.assert_allclose(list(coco_metrics(found, truths, 1).values()), expected, rtol=0, atol=1e-9)
    assert expected[8] < 0.7


def test_nothing_found_and_nothing_there(make_scene, detections, objects):
    _, truths = make_scene(0)
    none = [detections([])] * len(truths)
    assert coco_metrics(none, truths, 4)[NAMES[0]] == 0
    assert set(coco_metrics(none, [objects([])] * len(truths), 4).values()) == {-1.0}
    assert set(coco_metrics([], [], 4).values()) == {-1.0}


def test_masks_but_nothing_found(make_scene, detections):
    _, truths = make_scene(0, images=5, masks=True)
    ours = coco_metrics([detections([])] * 5, truths, 4)
    assert ours[NAMES[0]] == ours[BOX_PREFIX + NAMES[0]] == 0


def test_prints_nothing(make_scene, capfd):
    coco_metrics(*make_scene(0, images=5), 4)
    assert capfd.readouterr().out == ""


@reference
@pytest.mark.parametrize("geometry", ["bbox", "segm"])
def test_reference_files(geometry):
    expected = json.loads((REFERENCE / "expected_pycocotools.json").read_text())[geometry]
    results = REFERENCE / f"instances_val2014_fake{'bbox' if geometry == 'bbox' else 'segm'}100_results.json"
    ours = coco_metrics_of_files(REFERENCE / "instances_val2014_100.json", results, geometry)
    np.testing.assert_allclose(list(ours.values()), expected, rtol=0, atol=5.1e-7)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(REFERENCE / "instances_val2014_100.json"))
        evaluation = COCOeval(known, known.loadRes(str(results)), geometry)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    np.testing.assert_allclose(list(ours.values()), evaluation.stats, rtol=0, atol=1e-12)
