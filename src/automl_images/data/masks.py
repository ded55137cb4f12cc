"""Masks as arrays: the canvas they live on, polygons filled, a network's grids pasted, and the boxes around masks.

Coordinates are continuous: pixel `i` covers `[i, i + 1)` and its centre is at `i + 0.5`. Owns the rule which pixels a
polygon holds (COCO's, so that what is trained on is what is scored). Leaves the way back, from masks to polygons, to
`mask_outlines.py`, and pictures of masks to `mask_files.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import FloatArray, IntArray

MaskArray = NDArray[np.bool_]

MAX_CANVAS = 2**21
"""Pixels up to which masks are kept as large as their image: a hundred such masks are 200 MiB."""
MAX_PIXELS = 500_000_000
"""Of all masks of an image together (specification A.5), that is bytes."""


def canvas_size(width: int, height: int, objects: int = 1) -> tuple[int, int]:
    """Return width and height of the masks of an image: its own, or where that is too large, of the same shape.

    Args:
        width, height: of the image, in pixels.
        objects: masks that are to be in memory at once.

    Returns:
        A size of `MAX_CANVAS` pixels at most, and of which all masks have `MAX_PIXELS` at most.
    """
    most = min(MAX_CANVAS, max(MAX_PIXELS // max(objects, 1), 1))
    if width * height <= most:
        return width, height
    factor = math.sqrt(most / (width * height))
    return min(max(int(width * factor), 1), most), min(max(int(height * factor), 1), most)


def rasterise(polygon: Sequence[Sequence[float]], width: int, height: int) -> MaskArray:
    """Return the mask of one object on the canvas of its image.

    Args:
        polygon: segments of flat x, y in [0, 1]; a segment inside of another is a hole (they are combined by XOR).
        width: of the image in pixels.
        height: of the image in pixels.

    Returns:
        `(h, w)` with `(w, h) = canvas_size(width, height)`. Each segment is filled as `pycocotools` does.
    """
    w, h = canvas_size(width, height)
    return fill([np.asarray(segment, np.float64).reshape(-1, 2) * (w, h) for segment in polygon], w, h)


def fill(segments: Sequence[NDArray[np.float64]], width: int, height: int) -> MaskArray:
    """Return the mask `(height, width)` of segments given as corners `(n, 2)` in pixels, combined by XOR.

    `pycocotools` gives columns, and turning them into rows is what takes long: only the region of a segment is turned.
    """
    from pycocotools import mask as coco

    mask = np.zeros((height, width), np.bool_)
    size = np.array([width, height])
    for corners in segments:
        if len(corners) < 3:
            continue
        inside = np.clip(corners, 0, size)
        part = coco.decode(coco.frPyObjects([inside.ravel()], height, width)[0])
        left, top = np.floor(inside.min(axis=0)).astype(np.int64)
        right, bottom = np.ceil(inside.max(axis=0)).astype(np.int64) + 1
        mask[top:bottom, left:right] ^= part[top:bottom, left:right].view(np.bool_)
    return mask


def paste(masks: FloatArray, boxes: FloatArray, width: int, height: int, threshold: float) -> MaskArray:
    """Return the masks of detections on the canvas of their image.

    The grid is resized over the box bilinearly by the convention of torchvision's `paste_masks_in_image` (a border of
    zeros, the box grown with it and cut to whole pixels, pixel centres aligned).

    Args:
        masks: `(N, M, M)` probabilities on a grid over each box.
        boxes: `(N, 4)` xyxy in pixels of the image; parts outside of it are cut off.
        width: of the image in pixels.
        height: of the image in pixels.
        threshold: in [0, 1]; pixels with a higher probability belong to the object.

    Returns:
        `(N, h, w)` with `(w, h) = canvas_size(width, height)`.
    """
    w, h = canvas_size(width, height)
    side = masks.shape[-1] + 2
    padded = np.pad(np.asarray(masks, np.float32), ((0, 0), (1, 1), (1, 1)))
    scale = np.array([w / width, h / height] * 2, np.float32)
    corners = _grown(np.asarray(boxes, np.float32) * scale, side / (side - 2)).tolist()
    result = np.zeros((len(masks), h, w), np.bool_)
    for mask, (x0, y0, x1, y1), target in zip(padded, corners, result, strict=True):
        left, right, top, bottom = max(x0, 0), min(x1 + 1, w), max(y0, 0), min(y1 + 1, h)
        if left < right and top < bottom:
            wide = _stretched(mask.T, x0, x1, left, right).T
            values = _stretched(np.ascontiguousarray(wide), y0, y1, top, bottom)
            np.greater(values, threshold, out=target[top:bottom, left:right])
    return result


def mask_boxes(masks: MaskArray) -> FloatArray:
    """Return the boxes `(N, 4)` xyxy around `masks` `(N, h, w)`, in their pixels; zeros for a mask without pixels."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for mask, box in zip(masks, boxes, strict=True):
        if region := region_of(mask):
            rows, columns = region
            box[:] = columns.start, rows.start, columns.stop, rows.stop
    return boxes


def region_of(mask: MaskArray) -> tuple[slice, slice] | None:
    """Return the rows and columns of the box around a mask `(h, w)`, None where it has no pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _grown(boxes: FloatArray, factor: float) -> IntArray:
    """Return boxes grown around their centres and cut to whole pixels, towards zero."""
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * np.float32(factor)
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def _stretched(grid: FloatArray, low: int, high: int, start: int, stop: int) -> FloatArray:
    """Return the pixels `start:stop` of the span `low..high` over which the rows of `grid` are spread, linearly.

    Not as product of matrices, which is shorter: for ones as small, BLAS loses more in its threads than it gains.
    """
    last = len(grid) - 1
    step = np.float32(len(grid) / max(high - low + 1, 1))
    place = np.arange(start - low, stop - low, dtype=np.float32) + np.float32(0.5)
    source = np.maximum(place * step - np.float32(0.5), np.float32(0))
    first = np.minimum(source.astype(np.int64), last)
    share = (source - first.astype(np.float32))[:, None]
    return np.asarray(grid[first] * (1 - share) + grid[np.minimum(first + 1, last)] * share, np.float32)
