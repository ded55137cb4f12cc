"""From masks back to polygons (specification J.3): outlines with few points, and what was lost by them.

The contour at 0.5 passes half-way between the centres of a pixel inside and one outside, thus along the edges of
pixels, with corners cut. `find_contours` counts from pixel centres; half a pixel is added, so that edges of the image
are at 0 and its size, as everywhere in this project. So placed, filling the outline (`masks.rasterise`) gives the very
mask back unless points were left out; without the half pixel, or rounded up to whole ones, a row and a column are lost.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from automl_images.data.masks import MaskArray, fill, region_of

MAX_POINTS = 100
"""Points of an outline in a response (`max_number_of_polygon_points`)."""

POINTS_OF_TRUTH = 1000
"""Points of an outline that stands for an annotated mask."""

_ROUNDS = 25
_LARGEST = 2**24
"""Pixels of a mask that is outlined as it is; of larger ones every second, third … pixel is looked at."""


def outlines(mask: MaskArray, max_points: int = MAX_POINTS) -> list[list[float]]:
    """Return a mask as polygon: flat x, y in [0, 1] for every contour, holes included, to be combined by XOR.

    While a contour has more than `max_points` points it is simplified anew with a larger tolerance, up to 25 times
    and as long as three points are left (Douglas and Peucker 1973).

    Args:
        mask: `(h, w)`.
        max_points: of each contour; may be exceeded where 24 pixels of tolerance do not suffice.

    Returns:
        Nothing for a mask without pixels.
    """
    height, width = mask.shape
    return [(corners / (width, height)).ravel().tolist() for corners in contours(mask, max_points)]


def contours(mask: MaskArray, max_points: int) -> list[NDArray[np.float64]]:
    """Return the contours of a mask `(h, w)` as corners `(n, 2)` x, y in its pixels; see `outlines`."""
    from skimage.measure import find_contours

    region = region_of(mask)
    if region is None:
        return []
    origin = np.array([region[1].start, region[0].start]) - 0.5  # minus the padding, plus half a pixel
    found = find_contours(np.pad(mask[region], 1), 0.5)  # type: ignore[no-untyped-call]
    return [_simplified(line[:, ::-1] + origin, max_points) for line in found]


def polygon_of_mask(mask: MaskArray, max_points: int = POINTS_OF_TRUTH) -> tuple[list[NDArray[np.float64]], float]:
    """Return an annotated mask as segments `(n, 2)` in its pixels and how many pixels change by this.

    Args:
        mask: `(h, w)`, best cut to the object.
        max_points: of each contour.
    """
    stride = math.ceil(math.sqrt(mask.size / _LARGEST))
    seen = mask[stride // 2 :: stride, stride // 2 :: stride]
    segments = [corners * stride for corners in contours(seen, max_points)]
    height, width = mask.shape
    return segments, float(np.count_nonzero(fill(segments, width, height) ^ mask))


def _simplified(closed: NDArray[np.float64], max_points: int) -> NDArray[np.float64]:
    """Return the corners of a contour whose last point is its first, fewer of them if there are too many."""
    from skimage.measure import approximate_polygon

    full = _corners(closed)
    result = full
    for tolerance in (0.5, *range(1, _ROUNDS)):
        if len(result) - 1 <= max_points:
            break
        shorter = approximate_polygon(full, tolerance)  # type: ignore[no-untyped-call]
        if len(shorter) < 4:
            break
        result = shorter
    return result[:-1]


def _corners(closed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a closed contour without the points inside of its straight parts."""
    steps = np.diff(closed, axis=0)
    before = np.roll(steps, 1, axis=0)
    turns = before[:, 0] * steps[:, 1] != before[:, 1] * steps[:, 0]
    corners = closed[:-1][turns]
    return np.concatenate([corners, corners[:1]])
