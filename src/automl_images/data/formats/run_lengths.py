"""COCO's run-length encoded masks, decoded by ourselves: `pycocotools` trusts its input and crashes on a bad one.

Runs alternate between outside and inside of the object, beginning with outside, down the columns. They are a list of
numbers, or text: each number in groups of five bits, the lowest first, as characters from `0` on (bit 5: more follow,
bit 4 of the last group: the sign), from the fourth number on as difference to the one two places before.
Source: the COCO API's `maskApi.h`, and cocodataset.org/#format-data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from automl_images.data.findings import short
from automl_images.data.formats.base import Malformed
from automl_images.data.images import MAX_PIXELS
from automl_images.data.masks import MaskArray

_LONGEST_NUMBER = 7
"""Characters of a number: 35 bits, enough for any mask that is decoded."""


def size_of_mask(value: dict[str, Any]) -> tuple[int, int]:
    """Return the width and height that a mask states itself, in pixels.

    Args:
        value: `{"size": [height, width], "counts": …}` as the file states it; anything.

    Raises:
        Malformed: it states none.
    """
    found = value.get("size")
    if not isinstance(found, list) or len(found) != 2 or not all(type(side) is int and side > 0 for side in found):
        raise Malformed("MASK_INVALID", f"the mask must have a size [height, width], got {short(found)}", found)
    return found[1], found[0]


def decode_mask(value: dict[str, Any], width: int, height: int) -> tuple[MaskArray, int]:
    """Return the columns of a mask that hold the object.

    Args:
        value: `{"size": [height, width], "counts": …}` as the file states it; anything.
        width: of the image as the file states it, in pixels; of the mask where it does not.
        height: likewise.

    Returns:
        `(height, n)` and the first column's place in the image.

    Raises:
        Malformed: the mask is damaged, empty, larger than an image may be, or not of the image's size.
    """
    if value.get("size") != [height, width]:
        found = value.get("size")
        message = f"the mask must have the image's [height, width] {[height, width]}, got {short(found)}"
        raise Malformed("MASK_SIZE_MISMATCH", message, found)
    if width * height > MAX_PIXELS:
        raise Malformed("MASK_INVALID", f"masks of more than {MAX_PIXELS:,} pixels are not decoded", value["size"])
    counts = _counts(value.get("counts"))
    total = sum(counts)
    if min(counts, default=-1) < 0 or total != width * height:
        raise Malformed("MASK_INVALID", f"runs of together {width * height} pixels are needed", total)
    return _columns(counts, height)


def _columns(counts: list[int], height: int) -> tuple[MaskArray, int]:
    ends = np.cumsum(np.array([*counts, *[0] * (len(counts) % 2)], np.int64))
    starts, stops = ends[0::2], ends[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        raise Malformed("POLYGON_MISSING", "the mask is empty")
    first, last = int(starts[0]) // height, (int(stops[-1]) - 1) // height
    steps = np.zeros((last - first + 1) * height + 1, np.int8)
    steps[starts - first * height] += 1
    steps[stops - first * height] -= 1
    inside = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
    return inside.reshape(-1, height).T, first


def _counts(value: Any) -> list[int]:
    if isinstance(value, list) and all(type(run) is int for run in value):
        return value
    if isinstance(value, str):
        return _from_text(value)
    raise Malformed("MASK_INVALID", "expected runs as text or as list of whole numbers", value)


def _from_text(text: str) -> list[int]:
    counts: list[int] = []
    number = shift = 0
    for sign in text:
        group = ord(sign) - 48
        if not 0 <= group < 64 or shift >= 5 * _LONGEST_NUMBER:
            raise Malformed("MASK_INVALID", "the text of the runs is damaged", text)
        number |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = shift = 0
    if shift:
        raise Malformed("MASK_INVALID", "the text of the runs ends inside of a number", text)
    return counts
