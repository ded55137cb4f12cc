"""Intersection over union of boxes and masks, by the COCO rule for crowds.

Owns the geometry of evaluation; who is compared with whom is decided in `matching.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import FloatArray

Overlaps = NDArray[np.float64]


def box_overlaps(detections: FloatArray, truths: FloatArray, crowd: NDArray[np.bool_]) -> Overlaps:
    """Return the overlap of each detection with the truth beside it.

    Against a crowd the overlap is the intersection over the detection's own area (COCO's rule): a crowd box stands for
    any number of objects.

    Args:
        detections: `(P, 4)` xyxy pixels.
        truths: `(P, 4)` xyxy pixels.
        crowd: `(P,)` bool, whether the truth is a crowd.

    Returns:
        `(P,)` float64 in [0, 1]; 0 for boxes without area.
    """
    a, b = detections.astype(np.float64), truths.astype(np.float64)
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    intersection = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return _ratio(intersection, np.where(crowd, area_a, area_a + area_b - intersection))


def mask_overlaps(
    detections: NDArray[np.bool_], truths: NDArray[np.bool_], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the overlap of every detected mask of an image with every true one, crowds as in `box_overlaps`.

    Args:
        detections: `(N, H, W)` bool.
        truths: `(M, H, W)` bool.
        crowd: `(M,)` bool.

    Returns:
        `(N, M)` float64 in [0, 1].

    Raises:
        ValueError: the masks have different heights or widths.
    """
    if not len(detections) or not len(truths):
        return np.zeros((len(detections), len(truths)))
    if detections.shape[1:] != truths.shape[1:]:
        raise ValueError(
            f"Expected masks of one size, got {detections.shape[1:]} (detections) and {truths.shape[1:]} (truths)."
        )
    a, b = _packed(detections), _packed(truths)
    intersection = np.stack([np.bitwise_count(row & b).sum(axis=1, dtype=np.int64) for row in a])
    area_a = np.bitwise_count(a).sum(axis=1, dtype=np.int64)[:, None]
    area_b = np.bitwise_count(b).sum(axis=1, dtype=np.int64)[None]
    return _ratio(intersection, np.where(crowd[None], area_a, area_a + area_b - intersection))


def _ratio(intersection: NDArray[Any], union: NDArray[Any]) -> Overlaps:
    result = np.zeros(intersection.shape)
    np.divide(intersection, union, out=result, where=intersection > 0)
    return result


def _packed(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return `(N, words)`: each mask as bits, 64 pixels a word."""
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    padding = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, padding)))).view(np.uint64)
