"""Box arithmetic of YOLOv5: from raw outputs to boxes, and how far two boxes agree.

Owns the maths that loss and inference share, so that what is learnt is what is predicted. All functions are elementwise
over leading dimensions and differentiable.

Formulas: specification, section G (decoding); Rezatofighi et al., "Generalized Intersection over Union",
arXiv:1902.09630; Zheng et al., "Distance-IoU Loss", arXiv:1911.08287 (CIoU).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EPSILON = 1e-7


def decode_boxes(raw: Tensor, cells: Tensor, anchors: Tensor, stride: int) -> Tensor:
    """Turn raw outputs into boxes.

    The centre lies at most half a cell outside its cell, the sides are at most four times the anchor's:
    `centre = (2 sigmoid(raw) - 0.5 + cell) stride`, `size = (2 sigmoid(raw))^2 anchor`.

    Args:
        raw: `(…, 4)` float32 logits of x, y, width, height.
        cells: `(…, 2)` column and row of the cell.
        anchors: `(…, 2)` width and height, pixels.
        stride: pixels a cell.

    Returns:
        `(…, 4)` centre x, centre y, width, height in pixels.
    """
    doubled = 2 * raw.sigmoid()
    centre = (doubled[..., :2] - 0.5 + cells) * stride
    return torch.cat([centre, doubled[..., 2:].square() * anchors], dim=-1)


def to_corners(boxes: Tensor) -> Tensor:
    """Turn `(…, 4)` centre x, centre y, width, height into xyxy."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def to_centres(boxes: Tensor) -> Tensor:
    """Turn `(…, 4)` xyxy into centre x, centre y, width, height."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalised overlap of pairs of xyxy boxes `(…, 4)`: `(…)`, in (-1, 1]."""
    overlap, union = _overlap(boxes, others)
    hull = _hull(boxes, others).prod(dim=-1)
    return overlap - (hull - union) / (hull + _EPSILON)


def ciou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the complete overlap of pairs of xyxy boxes: IoU less the distance of centres and of aspect ratios.

    Args:
        boxes: `(…, 4)`, with positive sides; predictions (the trade-off factor passes no gradient, as in the paper).
        others: `(…, 4)`, with positive sides.

    Returns:
        `(…)`, at most 1, negative for boxes far from each other.
    """
    overlap, _ = _overlap(boxes, others)
    diagonal = _hull(boxes, others).square().sum(dim=-1)
    between = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
    distance = between.square().sum(dim=-1) / (diagonal + _EPSILON)
    aspect = 4 / math.pi**2 * (_angle(others) - _angle(boxes)).square()
    with torch.no_grad():
        trade_off = aspect / (1 - overlap + aspect + _EPSILON)
    return overlap - distance - trade_off * aspect


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union, and the union's area."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    union = _sides(boxes).prod(dim=-1) + _sides(others).prod(dim=-1) - intersection
    return intersection / (union + _EPSILON), union


def _hull(boxes: Tensor, others: Tensor) -> Tensor:
    """Return width and height of the smallest box around both."""
    return torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(boxes[..., :2], others[..., :2])


def _sides(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2]


def _angle(boxes: Tensor) -> Tensor:
    width, height = _sides(boxes).unbind(dim=-1)
    return torch.atan(width / (height + _EPSILON))
