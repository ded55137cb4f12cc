"""Non-maximum suppression in numpy, for networks whose graph leaves it to the caller."""

from __future__ import annotations

import numpy as np

from automl_images.core.types import FloatArray, IntArray


def suppress(boxes: FloatArray, scores: FloatArray, labels: IntArray, iou_threshold: float, limit: int) -> IntArray:
    """Return the indices of the boxes that stay, by falling score.

    Greedy: a box goes if a box of the same label with a higher score (an earlier one where scores are equal) that
    stays overlaps it by more than `iou_threshold`. Boxes of different labels do not meet.

    Args:
        boxes: `(N, 4)` xyxy.
        scores: `(N,)`.
        labels: `(N,)`.
        iou_threshold: intersection over union in [0, 1].
        limit: most boxes to return; the work stops there.

    Returns:
        `(M,)` int64 with `M <= limit`.
    """
    waiting = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(waiting) and len(kept) < limit:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        top_left = np.maximum(boxes[best, :2], boxes[waiting, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
        union = areas[best] + areas[waiting] - intersection
        overlaps = intersection > iou_threshold * union
        waiting = waiting[~(overlaps & (labels[waiting] == labels[best]))]
    return np.asarray(kept, np.int64)
