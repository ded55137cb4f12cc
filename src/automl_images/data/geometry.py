"""From coordinates as a file states them to [0, 1] of the upright image: scaling, EXIF rotation, cutting at the edge.

Pure arithmetic on single boxes and polygons. What is reported about it is decided in `validation.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from automl_images.data.formats.base import Box

Point = Callable[[float, float], tuple[float, float]]

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
        return (left, top, right, bottom) if left < right and top < bottom else None

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

_MOST_CORNERS = 300
"""Corners up to which a polygon is searched for crossings: the work grows with their square."""


def crosses_itself(segment: list[float]) -> bool:
    """Tell whether two edges of a polygon, given as flat x, y in [0, 1], cross; touching does not count.

    Two edges cross where the ends of each lie on both sides of the other; all pairs are looked at at once.
    Polygons of more than 300 corners are not searched and count as free of crossings.
    """
    if not 8 <= len(segment) <= 2 * _MOST_CORNERS:
        return False
    xs, ys = np.array(segment, np.float64).reshape(-1, 2).T
    dx, dy = np.concatenate([xs[1:], xs[:1]]) - xs, np.concatenate([ys[1:], ys[:1]]) - ys
    side = dx[:, None] * (ys - ys[:, None]) - dy[:, None] * (xs - xs[:, None])
    side[np.abs(side) <= _TOUCHING * (np.abs(dx) + np.abs(dy))[:, None]] = 0.0
    apart = np.sign(side) * np.sign(np.concatenate([side[:, 1:], side[:, :1]], axis=1)) < 0
    return bool((apart & apart.T).any())


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
