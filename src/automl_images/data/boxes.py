"""Arithmetic on boxes: `(N, 4)` xyxy in pixels, numpy only. Networks have their own, differentiable versions."""

from __future__ import annotations

import numpy as np

from automl_images.core.types import FloatArray


def box_area(boxes: FloatArray) -> FloatArray:
    """Return the areas `(N,)` of `boxes` `(N, 4)`; a box with a negative side has area 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection over union `(N, M)`, in [0, 1], of `a` `(N, 4)` and `b` `(M, 4)`.

    Two boxes without area have an IoU of 0.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    overlap = sides[..., 0] * sides[..., 1]
    union = box_area(a)[:, None] + box_area(b)[None, :] - overlap
    iou = np.divide(overlap, union, out=np.zeros(overlap.shape, np.float32), where=union > 0)
    return np.asarray(iou, np.float32)


def clip_boxes(boxes: FloatArray, width: float, height: float) -> FloatArray:
    """Return `boxes` `(N, 4)` clipped to an image of `width` x `height` pixels."""
    limits = np.asarray([width, height, width, height], np.float32)
    return np.clip(boxes, np.float32(0), limits)
