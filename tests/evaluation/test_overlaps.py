import numpy as np
import pytest
from pycocotools import mask as coco_mask

from automl_images.data.mask_codes import encode
from automl_images.evaluation.overlaps import box_overlaps, mask_overlaps


def test_boxes_by_hand():
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    b = np.array([[0, 0, 10, 5], [0, 0, 20, 20], [10, 0, 20, 10], [0, 0, 10, 10]], np.float32)
    crowd = np.array([False, True, False, False])
    assert box_overlaps(a, b, crowd).tolist() == [0.5, 1.0, 0.0, 0.0]


def test_boxes_equal_pycocotools():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 50, (60, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(0.1, 60, (60, 2))), axis=1).astype(np.float32)
    a, b = boxes[:40], boxes[40:]
    crowd = rng.random(20) < 0.3
    wide = boxes.astype(np.float64)
    xywh = np.concatenate((wide[:, :2], wide[:, 2:] - wide[:, :2]), axis=1)
    expected = coco_mask.iou(xywh[:40], xywh[40:], crowd.astype(np.uint8))
    ours = box_overlaps(np.repeat(a, 20, axis=0), np.tile(b, (40, 1)), np.tile(crowd, 40)).reshape(40, 20)
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(7, 9), (16, 16), (33, 70)])
def test_masks_equal_pycocotools(shape):
    rng = np.random.default_rng(1)
    a, b = rng.random((6, *shape)) < 0.4, rng.random((5, *shape)) < 0.6
    a[0] = False
    crowd = np.array([False, True, False, True, False])
    codes = [coco_mask.encode(np.asfortranarray(m.astype(np.uint8))) for m in (*a, *b)]
    expected = coco_mask.iou(codes[:6], codes[6:], crowd.astype(np.uint8))
    np.testing.assert_allclose(mask_overlaps(encode(a), encode(b), crowd), expected, atol=1e-12)


def test_masks_of_no_objects_and_of_other_sizes():
    none, some = encode(np.zeros((0, 4, 4), bool)), encode(np.ones((2, 4, 4), bool))
    assert mask_overlaps(none, some, np.zeros(2, bool)).shape == (0, 2)
    assert mask_overlaps(some, none, np.zeros(0, bool)).shape == (2, 0)
    with pytest.raises(ValueError, match="one size"):
        mask_overlaps(encode(np.ones((1, 4, 8), bool)), some, np.zeros(2, bool))
