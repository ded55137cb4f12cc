"""Scenes with ground truth, crowds and imperfect detections for the tests of evaluation."""

import numpy as np
import pytest

from automl_images.core.types import Detections, Objects

SIZE = 160


def _boxes(rng, count):
    corner = rng.uniform(0, SIZE - 20, (count, 2))
    side = rng.uniform(4, 110, (count, 2))
    return np.concatenate((corner, np.minimum(corner + side, SIZE)), axis=1).astype(np.float32)


def _ellipses(boxes):
    """Masks that fill each box with an ellipse."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    dx = (x[None] - centre[:, 0, None, None]) / half[:, 0, None, None]
    dy = (y[None] - centre[:, 1, None, None]) / half[:, 1, None, None]
    return dx**2 + dy**2 <= 1


def _image(rng, classes, masks, distinct):
    count = int(rng.integers(0, 8))
    boxes, labels = _boxes(rng, count), rng.integers(0, classes, count)
    crowd = rng.random(count) < 0.1
    near = np.repeat(boxes, 2, axis=0) + rng.normal(0, 3, (2 * count, 4)).astype(np.float32)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    found = np.concatenate((near, _boxes(rng, 2))).astype(np.float32)
    found_labels = np.concatenate((np.repeat(labels, 2), rng.integers(0, classes, 2)))
    wrong = rng.random(len(found)) < 0.15
    found_labels[wrong] = rng.integers(0, classes, wrong.sum())
    scores = rng.random(len(found)) if distinct else rng.integers(0, 20, len(found)) / 20
    order = np.argsort(-scores, kind="stable")
    truth = Objects(boxes, labels.astype(np.int64), crowd, _ellipses(boxes) if masks else None)
    detections = Detections(
        found, found_labels.astype(np.int64), scores.astype(np.float32), _ellipses(found) if masks else None
    )
    return detections.take(order), truth


@pytest.fixture
def make_scene():
    """Return `f(seed, images=30, classes=4, masks=False, distinct=True) -> (predictions, truths)`."""

    def make(seed, images=30, classes=4, masks=False, distinct=True):
        rng = np.random.default_rng(seed)
        pairs = [_image(rng, classes, masks, distinct) for _ in range(images)]
        return [p for p, _ in pairs], [t for _, t in pairs]

    return make


@pytest.fixture
def objects():
    """Return `f([(box, label), …], crowd=()) -> Objects`."""

    def make(rows, crowd=()):
        boxes = np.array([box for box, _ in rows], dtype=np.float32).reshape(-1, 4)
        labels = np.array([label for _, label in rows], dtype=np.int64)
        return Objects(boxes, labels, np.isin(np.arange(len(rows)), crowd))

    return make


@pytest.fixture
def detections():
    """Return `f([(box, label, score), …]) -> Detections`."""

    def make(rows):
        boxes = np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 4)
        return Detections(
            boxes, np.array([row[1] for row in rows], dtype=np.int64), np.array([row[2] for row in rows], np.float32)
        )

    return make
