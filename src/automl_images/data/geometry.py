"""From coordinates as a file states them to [0, 1] of the upright image: scaling, EXIF rotation, cutting at the edge.

Pure arithmetic on single boxes and polygons. What is reported about it is decided in `validation.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl_images.data.formats.base import Box

Point = Callable[[float, float], tuple[float, float]]
Points = NDArray[np.float64]

_UPRIGHT: dict[int, Point] = {
    2: lambda u, v: (1 - u, v),
    3: lambda u, v: (1 - u, 1 - v),
    4: lambda u, v: (u, 1 - v),
    5: lambda u, v: (v, u),
    6: lambda u, v: (1 - v, u),
    7: lambda u, v: (1 - v, 1 - u),
    8: lambda u, v: (v, 1 - u),
}
"""EXIF orientation to the move of a point, normalised, from the stored to the upright image (EXIF 2.32, tag 274)."""

UNIT = 1e9
"""Normalised coordinates are rounded to its inverse: a thousandth of a pixel in any image, equal after a round trip."""

NOISE = 0.01
"""Pixels outside of the image that are rounding of a decimal text and nothing worth reporting."""

LEAST_SIDE = 0.01
"""Pixels below which the side of a box counts as none: in float32 its corners may be one and its loss no number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """What one sample's coordinates refer to.

    Attributes:
        scale_x: divides x to give [0, 1].
        scale_y: divides y.
        orientation: EXIF orientation still to be applied; 1 for none.
        width: of the upright image in pixels, None where unknown.
        height: likewise.
    """

    scale_x: float
    scale_y: float
    orientation: int
    width: int | None
    height: int | None

    def inside(self, box: Box) -> Box | None:
        """Return the normalised, rounded box if it is valid and not to be turned: the short way of nearly all."""
        left, top = box[0] / self.scale_x, box[1] / self.scale_y
        right, bottom = box[2] / self.scale_x, box[3] / self.scale_y
        if self.orientation != 1 or not (0.0 <= left < right <= 1.0 and 0.0 <= top < bottom <= 1.0):
            return None
        left, top = int(left * UNIT + 0.5) / UNIT, int(top * UNIT + 0.5) / UNIT
        right, bottom = int(right * UNIT + 0.5) / UNIT, int(bottom * UNIT + 0.5) / UNIT
        box = left, top, right, bottom
        return None if self.is_thin(box) else box

    def is_thin(self, box: Box) -> bool:
        """Tell whether a side of a normalised box is below `LEAST_SIDE`; of 1000 x 1000 where the size is unknown."""
        width, height = (box[2] - box[0]) * (self.width or 1000), (box[3] - box[1]) * (self.height or 1000)
        return width < LEAST_SIDE or height < LEAST_SIDE

    def has_area(self, box: Box) -> bool:
        """Tell whether a box's corners are in order and far enough apart to stay so when they are rounded."""
        width, height = (box[2] - box[0]) / self.scale_x, (box[3] - box[1]) / self.scale_y
        return min(width, height) * UNIT >= 2.0

    def normalised(self, box: Box) -> Box:
        """Return a box in [0, 1] of the upright image, corners in order if they were."""
        left, top, right, bottom = box
        left, top, right, bottom = left / self.scale_x, top / self.scale_y, right / self.scale_x, bottom / self.scale_y
        if self.orientation == 1:
            return left, top, right, bottom
        turn = _UPRIGHT[self.orientation]
        (a, b), (c, d) = turn(left, top), turn(right, bottom)
        return min(a, c), min(b, d), max(a, c), max(b, d)

    def normalised_points(self, segment: list[float]) -> list[float]:
        """Return a flat list of x, y in [0, 1] of the upright image."""
        points = [(x / self.scale_x, y / self.scale_y) for x, y in zip(segment[0::2], segment[1::2], strict=True)]
        if self.orientation != 1:
            points = [_UPRIGHT[self.orientation](u, v) for u, v in points]
        return [value for point in points for value in point]

    def overshoot(self, left: float, top: float, right: float, bottom: float) -> float:
        """Return by how many pixels a normalised extent sticks out; of 1000 x 1000 where the size is unknown."""
        x = max(-left, right - 1.0, 0.0) * (self.width or 1000)
        y = max(-top, bottom - 1.0, 0.0) * (self.height or 1000)
        return max(x, y)


def clip(box: Box) -> tuple[Box, float]:
    """Return a normalised box cut at the edges of the image and the share of its area that is left.

    Where nothing is left the share is 0 and the box is meaningless.
    """
    left, top, right, bottom = box
    cut = max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)
    width, height = max(cut[2] - cut[0], 0.0), max(cut[3] - cut[1], 0.0)
    return cut, (width / (right - left)) * (height / (bottom - top))


def rounded(box: Box) -> Box:
    """Return a normalised box rounded to 1 / `UNIT`."""
    left, top, right, bottom = (int(value * UNIT + 0.5) / UNIT for value in box)
    return left, top, right, bottom


NO_AREA = 1e-9
"""Share of the image below which a polygon's area is what rounding to 1 / `UNIT` made of none."""

_TOUCHING = 1e-5
"""Share of the image's side within which a corner lies on an edge rather than beyond it: rounding of decimal texts."""

_PAIRS_AT_ONCE = 1 << 20
"""Pairs of edges that are looked at together, to save memory."""


def crosses_itself(segment: list[float]) -> bool:
    """Tell whether two edges of a polygon, given as flat x, y in [0, 1], cross; touching does not count.

    Two edges cross where the ends of each lie on both sides of the other. Only pairs are looked at whose shadows on a
    slanting line overlap, which of an outline are few.
    """
    if len(segment) < 8:
        return False
    begin = np.array(segment, np.float64).reshape(-1, 2)
    end = np.roll(begin, -1, axis=0)
    shadow = np.sort(np.stack([begin @ _SLANT, end @ _SLANT]), axis=0)
    order = np.argsort(shadow[0])
    begin, end, (low, high) = begin[order], end[order], shadow[:, order]
    partners = np.searchsorted(low, high, side="right") - np.arange(1, len(low) + 1)
    upto = np.cumsum(partners)
    first = 0
    while first < len(low):
        done = upto[first] - partners[first]
        last = max(first + 1, int(np.searchsorted(upto, done + _PAIRS_AT_ONCE, side="right")))
        edge = np.repeat(np.arange(first, last), partners[first:last])
        other = edge + 1 + np.arange(len(edge)) - (upto - partners)[edge] + done
        if (_parts(begin, end, edge, other) & _parts(begin, end, other, edge)).any():
            return True
        first = last
    return False


_SLANT = np.array([math.cos(1.0), math.sin(1.0)])


def _parts(begin: Points, end: Points, edge: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether an edge's line parts the ends of another, for each pair `(P,)` of edges from `begin` to `end`."""
    (dx, dy), origin = (end[edge] - begin[edge]).T, begin[edge]
    near = _TOUCHING * (np.abs(dx) + np.abs(dy))
    sides = []
    for corner in (begin[other] - origin, end[other] - origin):
        side = dx * corner[:, 1] - dy * corner[:, 0]
        sides.append(np.where(np.abs(side) <= near, 0.0, np.sign(side)))
    parted: NDArray[np.bool_] = sides[0] * sides[1] < 0
    return parted


def polygon_area(segment: list[float]) -> float:
    """Return the area of a polygon given as flat x, y (shoelace formula), not negative."""
    xs, ys = segment[0::2], segment[1::2]
    turned = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    return abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in turned)) / 2


def polygon_box(segments: list[list[float]]) -> Box:
    """Return the box around all segments."""
    xs = [x for segment in segments for x in segment[0::2]]
    ys = [y for segment in segments for y in segment[1::2]]
    return min(xs), min(ys), max(xs), max(ys)
