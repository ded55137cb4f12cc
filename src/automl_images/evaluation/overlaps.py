"""Intersection over union of boxes and masks, by the COCO rule for crowds.

Owns the geometry of evaluation; who is compared with whom is decided in `matching.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import FloatArray
from automl_images.data.mask_codes import Codes

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


def mask_overlaps(detections: Codes, truths: Codes, crowd: NDArray[np.bool_]) -> Overlaps:
    """Return the overlap of every detected mask of an image with every true one, crowds as in `box_overlaps`.

    Args:
        detections: `(N,)`.
        truths: `(M,)`.
        crowd: `(M,)` bool.

    Returns:
        `(N, M)` float64 in [0, 1].

    Raises:
        ValueError: the masks have different heights or widths.
    """
    from hotcoco import mask

    if not len(detections) or not len(truths):
        return np.zeros((len(detections), len(truths)))
    sizes = {tuple(code["size"]) for code in (*detections, *truths)}
    if len(sizes) > 1:
        raise ValueError(f"Expected masks of one size in an image, got the heights and widths {sorted(sizes)}.")
    return np.asarray(mask.iou(detections.tolist(), truths.tolist(), crowd.tolist()), np.float64)


def _ratio(intersection: NDArray[Any], union: NDArray[Any]) -> Overlaps:
    result = np.zeros(intersection.shape)
    np.divide(intersection, union, out=result, where=intersection > 0)
    return result
