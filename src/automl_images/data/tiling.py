"""Cutting large images into overlapping tiles, so that small objects are not shrunk away (specification G, Tiling).

Owns where the tiles lie, which objects a tile holds, and which detections from tiles stay. Leaves to training and
inference which tiles they use: training takes the image and its tiles with objects, inference the image and all tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl_images.core.types import Detections, FloatArray, IntArray, Objects
from automl_images.data.boxes import box_iou
from automl_images.data.masks import mask_boxes


def tiles(width: int, height: int, grid: tuple[int, int], overlap: float) -> IntArray:
    """Return the tiles of an image, row by row.

    With overlap `o` and `n` tiles along a side of length `L`, a tile is `L / (o + (1 - o) n)` long and the next one
    starts `1 - o` of its length later, so that they cover the side exactly; coordinates are rounded.

    Args:
        width: pixels of the image.
        height: pixels of the image.
        grid: tiles along the width and along the height.
        overlap: share of a tile that its neighbour covers, in [0, 1).

    Returns:
        `(T, 4)` int64 xyxy inside the image; tiles without area (tiny images) are left out. The whole image is not
        among them.
    """
    x0, x1 = _along(width, grid[0], overlap)
    y0, y1 = _along(height, grid[1], overlap)
    rows = np.repeat(np.arange(grid[1]), grid[0])
    columns = np.tile(np.arange(grid[0]), grid[1])
    found = np.stack([x0[columns], y0[rows], x1[columns], y1[rows]], axis=1)
    return found[(found[:, 2:] > found[:, :2]).all(axis=1)]


def _along(length: int, count: int, overlap: float) -> tuple[IntArray, IntArray]:
    size = length / (overlap + (1 - overlap) * count)
    starts = np.arange(count) * (1 - overlap) * size
    low, high = np.rint(starts).astype(np.int64), np.rint(starts + size).astype(np.int64)
    return low, np.minimum(high, length)


def objects_in_tile(objects: Objects, tile: IntArray | Sequence[int]) -> Objects:
    """Return the parts of `objects` inside a tile, in the tile's frame.

    Every object of which at least one square pixel (area rounded down) lies in the tile is kept, clipped to it. Where
    there are masks a pixel of it must lie in the tile, and a box that is cut becomes the one around the mask's rest.

    Args:
        objects: objects in the image's frame; masks have the image's size.
        tile: xyxy in whole pixels, inside the image.
    """
    x0, y0, x1, y1 = (int(v) for v in tile)
    corner = np.asarray([x0, y0, x0, y0], np.float32)
    limit = np.asarray([x1 - x0, y1 - y0] * 2, np.float32)
    boxes: FloatArray = np.clip(objects.boxes - corner, np.float32(0), limit)
    sides = boxes[:, 2:] - boxes[:, :2]
    keep = np.floor(sides[:, 0] * sides[:, 1]) > 0
    masks = None
    if objects.masks is not None:
        masks = objects.masks[:, y0:y1, x0:x1]
        cut = (boxes != objects.boxes - corner).any(axis=1) & keep
        boxes[cut] = mask_boxes(masks[cut])
        keep[cut] = boxes[cut, 2] > boxes[cut, 0]
        masks = masks[keep]
    return Objects(boxes[keep], objects.labels[keep], objects.crowd[keep], masks)


def survivors(per_tile: Sequence[Detections], threshold: float) -> IntArray:
    """Return which detections of an image and its tiles stay, by falling score.

    From the best score down, each detection that is still there removes those with a lower score that have the same
    label, come from another tile (the whole image counts as one), and overlap it with an IoU above `threshold`.
    Detections of one tile never remove one another: non-maximum suppression already judged those pairs.

    Args:
        per_tile: detections of each tile and of the whole image, all in the image's frame.
        threshold: IoU in [0, 1].

    Returns:
        `(M,)` int64 positions among all detections, one tile after the other.
    """
    everything = concatenated(per_tile)
    source = np.repeat(np.arange(len(per_tile)), [len(d) for d in per_tile])
    order = np.argsort(-everything.scores, kind="stable")
    found, source = everything.take(order), source[order]
    alive = np.ones(len(found), np.bool_)
    for i in range(len(found) - 1):
        if alive[i]:
            rest = slice(i + 1, None)
            rival = (found.labels[rest] == found.labels[i]) & (source[rest] != source[i])
            alive[rest] &= ~(rival & (box_iou(found.boxes[i : i + 1], found.boxes[rest])[0] > threshold))
    return order[alive]


def concatenated(per_tile: Sequence[Detections]) -> Detections:
    """Return the detections of all tiles, one tile after the other, without masks."""
    return Detections(
        np.concatenate([np.zeros((0, 4), np.float32), *(d.boxes for d in per_tile)]),
        np.concatenate([np.zeros(0, np.int64), *(d.labels for d in per_tile)]),
        np.concatenate([np.zeros(0, np.float32), *(d.scores for d in per_tile)]),
    )
