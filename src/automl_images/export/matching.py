"""Comparing two sets of detections of one image, which should be the same up to rounding.

By index they cannot be compared: two scores that are equal up to rounding swap places. What rounding alone can add or
remove (a score at the threshold, a box at the cut of the best K, an overlap at the threshold of NMS) is told apart
from a real difference.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from automl_images.core.types import Detections, FloatArray, IntArray
from automl_images.data.boxes import box_iou

UNLIKE = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Cuts:
    """Where a pipeline cuts, hence where rounding may decide.

    Attributes:
        score: scores below are dropped; count: most detections; overlaps: thresholds of suppression.
        score_margin, overlap_margin: how near counts as near.
    """

    score: float
    count: int
    overlaps: tuple[float, ...]
    score_margin: float
    overlap_margin: float = 1e-3


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of matched detections, and what has no partner.

    Attributes:
        box: `(M,)` largest difference of a coordinate of each pair, pixels; score: `(M,)`; label: `(M,)` bool, unequal.
        unmatched: places of detections of either side without a partner that no cut explains. Detections that overlap
            by half count once: a proposal inside an R-CNN that rounding moves across a cut brings one for each class.
        near_ties: detections without a partner that a cut explains.
        left, right: `(M,)` positions of the pairs.
    """

    box: NDArray[np.float32]
    score: NDArray[np.float32]
    label: NDArray[np.bool_]
    unmatched: int
    near_ties: int
    left: IntArray
    right: IntArray


def compare(left: Detections, right: Detections, cuts: Cuts) -> Comparison:
    """Match two sets one to one at the least total difference and measure what remains.

    A pair costs (1 - IoU) + difference of scores + 1 for unequal labels; boxes that overlap by less than half are no
    pair. The assignment is the Hungarian one.
    """
    iou = box_iou(left.boxes, right.boxes)
    unequal = left.labels[:, None] != right.labels[None, :]
    cost = 1 - iou + np.abs(left.scores[:, None] - right.scores[None, :]) + unequal
    rows, columns = linear_sum_assignment(np.where(iou >= 0.5, cost, UNLIKE))
    paired = iou[rows, columns] >= 0.5
    rows, columns = rows[paired], columns[paired]
    alone_left = left.take(np.setdiff1d(np.arange(len(left)), rows))
    alone_right = right.take(np.setdiff1d(np.arange(len(right)), columns))
    left_ties, right_ties = _near_ties(alone_left, right, cuts), _near_ties(alone_right, left, cuts)
    return Comparison(
        box=np.abs(left.boxes[rows] - right.boxes[columns]).max(axis=1, initial=0),
        score=np.abs(left.scores[rows] - right.scores[columns]),
        label=unequal[rows, columns],
        unmatched=_places(alone_left.take(~left_ties)) + _places(alone_right.take(~right_ties)),
        near_ties=int(left_ties.sum() + right_ties.sum()),
        left=rows,
        right=columns,
    )


def mask_differences(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return how much pairs of masks differ: 1 - intersection over union.

    The union is the sum of the larger probabilities, the intersection that of the smaller ones, so that no threshold
    and no rounding of boxes to pixels makes a large difference out of a small one.

    Args:
        left: `(N, M, M)` probabilities on a grid.
        right: likewise; grids of another size are all different.

    Returns:
        `(N,)` float32 in [0, 1]; 0 where both are empty.
    """
    if left.shape != right.shape:
        return np.ones(len(left), np.float32)
    union = np.maximum(left, right).sum(axis=(1, 2))
    return np.abs(left - right).sum(axis=(1, 2)) / np.where(union > 0, union, 1)


def _places(found: Detections) -> int:
    """Count detections, those that overlap an earlier one by half not."""
    return int((~np.tril(box_iou(found.boxes, found.boxes) >= 0.5, -1).any(axis=1)).sum())


def _near_ties(alone: Detections, other: Detections, cuts: Cuts) -> NDArray[np.bool_]:
    """Tell which detections rounding may have cut from the other side."""
    floor = max(cuts.score, float(other.scores.min()) if len(other) >= cuts.count else 0.0)
    at_floor = alone.scores <= floor + cuts.score_margin
    overlap = box_iou(alone.boxes, other.boxes)
    rival = (alone.labels[:, None] == other.labels[None, :]) & (
        other.scores[None, :] >= alone.scores[:, None] - cuts.score_margin
    )
    at_overlap = np.zeros(len(alone), bool)
    for threshold in cuts.overlaps:
        at_overlap |= (rival & (np.abs(overlap - threshold) <= cuts.overlap_margin)).any(axis=1)
    tie: NDArray[np.bool_] = at_floor | at_overlap
    return tie
