import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from automl_images.inference.nms import suppress


def _random(seed, count):
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(1, 60, (count, 2))], axis=1).astype(np.float32)
    return boxes, generator.permutation(count).astype(np.float32) / max(1, count), generator.integers(0, 3, count)


def _reference(boxes, scores, labels, threshold):
    """torchvision's nms class by class: batched_nms shifts boxes by class, which rounds the overlaps in float32."""
    kept = [
        np.flatnonzero(labels == label)[
            nms(torch.tensor(boxes[labels == label]), torch.tensor(scores[labels == label]), threshold)
        ]
        for label in np.unique(labels)
    ]
    kept = np.concatenate([np.zeros(0, np.int64), *map(np.atleast_1d, kept)])
    return kept[np.argsort(-scores[kept], kind="stable")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 120), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_equals_torchvision(seed, count, threshold):
    boxes, scores, labels = _random(seed, count)
    np.testing.assert_array_equal(
        suppress(boxes, scores, labels, threshold, 1000), _reference(boxes, scores, labels, threshold)
    )


def test_limit_keeps_the_best():
    boxes, scores, labels = _random(1, 300)
    everything = suppress(boxes, scores, labels, 0.5, 1000)
    np.testing.assert_array_equal(suppress(boxes, scores, labels, 0.5, 5), everything[:5])


def test_only_the_same_class_suppresses():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    kept = suppress(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 0]), 0.5, 10)
    assert kept.tolist() == [0, 1]


def test_overlap_equal_to_the_threshold_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # IoU is exactly 0.5
    scores, labels = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert suppress(boxes, scores, labels, 0.5, 10).tolist() == [0, 1]
    assert suppress(boxes, scores, labels, 0.49, 10).tolist() == [0]


def test_ties_keep_the_earlier_one():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (3, 1))
    assert suppress(boxes, np.full(3, 0.5, np.float32), np.zeros(3, np.int64), 0.5, 10).tolist() == [0]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one(count):
    boxes, scores, labels = _random(0, count)
    assert len(suppress(boxes, scores, labels, 0.5, 10)) == count
