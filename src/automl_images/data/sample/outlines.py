"""Masks to polygons: outlines along the edges of pixels, simplified.

Owns tracing and simplifying (Douglas and Peucker, 1973). Holes are filled and specks dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
_LEAST_AREA = 12.0
_TOLERANCE = 0.8


def polygons(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Return the outlines of the parts of a mask.

    Args:
        mask: `(H, W)` bool.

    Returns:
        Flat lists `[x1, y1, x2, y2, …]` of corners in whole pixels, the largest part first; parts below 12 square
        pixels are left out. A mask without any larger part gives an empty list.
    """
    found = [(_area(loop), loop) for loop in _loops(mask)]
    outer = sorted((part for part in found if part[0] >= _LEAST_AREA), key=lambda part: -part[0])
    simple = [_simplified(loop) for _, loop in outer]
    return [[int(v) for point in loop for v in point] for loop in simple if len(loop) >= 3]


def bounds(outlines: list[list[int]]) -> tuple[int, int, int, int]:
    """Return xyxy around all corners of at least one outline."""
    xs = [x for outline in outlines for x in outline[0::2]]
    ys = [y for outline in outlines for y in outline[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def area(outline: list[int]) -> float:
    """Return the area of one outline in square pixels."""
    return abs(_area(list(zip(outline[0::2], outline[1::2], strict=True))))


def _loops(mask: NDArray[np.bool_]) -> list[list[Point]]:
    """Return closed walks along pixel edges with the mask at the right hand: outer ones have a positive area."""
    ahead = _edges(mask)
    loops = []
    while ahead:
        start = next(iter(ahead))
        loop, point, step = [start], start, (0, 0)
        while True:
            step = _take(ahead, point, step)
            point = (point[0] + step[0], point[1] + step[1])
            if point == start:
                break
            loop.append(point)
        loops.append(loop)
    return loops


def _edges(mask: NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Return for each corner the directions in which edges leave it."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = [
        (inside & ~padded[:-2, 1:-1], (0, 0), (1, 0)),
        (inside & ~padded[1:-1, 2:], (1, 0), (0, 1)),
        (inside & ~padded[2:, 1:-1], (1, 1), (-1, 0)),
        (inside & ~padded[1:-1, :-2], (0, 1), (0, -1)),
    ]
    edges: dict[Point, list[Point]] = {}
    for where, (dx, dy), step in sides:
        for y, x in np.argwhere(where).tolist():
            edges.setdefault((x + dx, y + dy), []).append(step)
    return edges


def _take(ahead: dict[Point, list[Point]], point: Point, step: Point) -> Point:
    """Take an edge out; where two pixels touch at a corner, turn right, so that they become two loops."""
    steps = ahead[point]
    right = (-step[1], step[0])
    chosen = right if right in steps else steps[0]
    steps.remove(chosen)
    if not steps:
        del ahead[point]
    return chosen


def _area(loop: list[Point]) -> float:
    following = [*loop[1:], loop[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(loop, following, strict=True)) / 2


def _simplified(loop: list[Point]) -> list[Point]:
    """Return the corners needed to stay within the tolerance; the outermost corners stay."""
    points = np.asarray(loop, np.float64)
    first = int(np.lexsort((points[:, 0], points[:, 1]))[0])
    points = np.roll(points, -first, axis=0)
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([points, points[:1]])
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, far]] = True
    spans = [(0, far), (far, len(closed) - 1)]
    while spans:
        low, high = spans.pop()
        if high - low < 2:
            continue
        distance = _distance(closed[low + 1 : high], closed[low], closed[high])
        worst = int(np.argmax(distance))
        if distance[worst] > _TOLERANCE:
            middle = low + 1 + worst
            keep[middle] = True
            spans += [(low, middle), (middle, high)]
    return [(int(x), int(y)) for x, y in points[keep[:-1]]]


def _distance(points: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances `(N,)` of points from the line through `a` and `b`."""
    along = b - a
    length = float(np.hypot(*along))
    if length == 0:
        return np.asarray(np.hypot(*(points - a).T))
    offset = points - a
    return np.asarray(np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / length)
