import numpy as np
import pytest

from automl_images.core.errors import ModelError
from automl_images.inference.decoders import DECODERS


@pytest.fixture
def yolo_metadata(metadata):
    return metadata.model_copy(
        update={"decoder": "yolov5", "labels": metadata.classes, "box_detections_per_image": 300}
    )


def _padded():
    boxes = np.array([[[0, 0, 10, 10], [5, 5, 9, 9], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 3], np.float32)
    labels = np.array([[1, 3, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.2, -1], [-1, -1, -1]], np.float32)
    return [boxes, labels, scores, np.array([2, 0])]


def test_padded_detections_end_at_their_number(metadata):
    first, second = (found.detections for found in DECODERS.get("padded_detections")(_padded(), metadata, 0.0))
    assert first.labels.tolist() == [0, 2]  # 0-based without background
    np.testing.assert_array_equal(first.boxes, [[0, 0, 10, 10], [5, 5, 9, 9]])
    assert len(second) == 0
    assert second.boxes.shape == (0, 4)
    assert (second.boxes.dtype, second.labels.dtype, second.scores.dtype) == (np.float32, np.int64, np.float32)


def test_padded_detections_below_the_threshold_go(metadata):
    first, _ = DECODERS.get("padded_detections")(_padded(), metadata, 0.5)
    assert first.detections.labels.tolist() == [0]


def test_padded_detections_without_background(metadata):
    plain = metadata.model_copy(update={"labels": metadata.classes})
    outputs = _padded()
    outputs[1] -= 1
    assert DECODERS.get("padded_detections")(outputs, plain, 0.5)[0].detections.labels.tolist() == [0]


def test_masks_stay_with_their_detections(metadata):
    masks = np.stack([np.full((3, 2, 2), value, np.float32) for value in (0.1, 0.2)])
    masks[0, 1] = 0.9
    outputs = [*_padded(), masks]
    outputs[2][0] = [0.2, 0.9, -1]
    first, second = DECODERS.get("padded_detections")(outputs, metadata, 0.0)
    assert first.detections.labels.tolist() == [2, 0]  # best first
    assert first.grids.values[:, 0, 0].tolist() == pytest.approx([0.9, 0.1])
    np.testing.assert_array_equal(first.grids.boxes, [[5, 5, 9, 9], [0, 0, 10, 10]])
    assert second.grids.values.shape == (0, 2, 2)


def test_yolov5_by_hand(yolo_metadata):
    # cx, cy, w, h, objectness, three class probabilities; rows 0 and 1 overlap with IoU 0.8 and have the same class
    rows = [
        [50, 50, 20, 10, 0.9, 0.1, 0.8, 0.1],
        [50, 50, 20, 8, 0.5, 0.1, 0.9, 0.1],
        [50, 50, 20, 10, 0.8, 0.5, 0.4, 0.1],
        [10, 10, 4, 4, 0.1, 0.0, 0.0, 0.9],
    ]
    (found,) = (f.detections for f in DECODERS.get("yolov5")([np.array([rows], np.float32)], yolo_metadata, 0.1))
    np.testing.assert_array_equal(found.boxes, [[40, 45, 60, 55], [40, 45, 60, 55]])
    np.testing.assert_allclose(found.scores, [0.72, 0.40], rtol=1e-6)
    assert found.labels.tolist() == [1, 0]


def test_yolov5_threshold_before_or_after_is_the_same(yolo_metadata):
    generator = np.random.default_rng(3)
    rows = generator.uniform(0, 1, (2, 500, 8)).astype(np.float32) * [200, 200, 80, 80, 1, 1, 1, 1]
    low = [found.detections for found in DECODERS.get("yolov5")([rows], yolo_metadata, 0.05)]
    high = [found.detections for found in DECODERS.get("yolov5")([rows], yolo_metadata, 0.4)]
    for many, few in zip(low, high, strict=True):
        cut = many.take(many.scores >= 0.4)
        np.testing.assert_array_equal(cut.boxes, few.boxes)
        assert 0 < len(few) < len(many)
        assert (np.diff(few.scores) <= 0).all()


def test_yolov5_keeps_at_most_so_many(yolo_metadata):
    generator = np.random.default_rng(3)
    rows = generator.uniform(0, 1, (1, 500, 8)).astype(np.float32) * [200, 200, 8, 8, 1, 1, 1, 1]
    limited = yolo_metadata.model_copy(update={"box_detections_per_image": 7})
    assert len(DECODERS.get("yolov5")([rows], limited, 0.0)[0]) == 7


def test_numbers_that_are_not_finite_are_an_error(metadata, yolo_metadata):
    outputs = _padded()
    outputs[0][0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        DECODERS.get("padded_detections")(outputs, metadata, 0.0)
    outputs = [*_padded(), np.full((2, 3, 2, 2), np.nan, np.float32)]
    with pytest.raises(ModelError, match="not finite"):
        DECODERS.get("padded_detections")(outputs, metadata, 0.0)
    with pytest.raises(ModelError, match="not finite"):
        DECODERS.get("yolov5")([np.full((1, 2, 8), np.inf, np.float32)], yolo_metadata, 0.1)
