"""Masks as COCO's run-length codes: what evaluation compares, small enough to hold those of a whole data set.

A mask of 640 x 480 pixels is 300 kB as array and mostly below 1 kB as code. Whoever judges many images encodes each
image's masks as soon as they are there (`encoded`); evaluation takes masks and codes alike, and predictions keep codes.
Those of strangers are read by `formats/run_lengths.py`; what stands here trusts its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import Detections, Objects

Codes = NDArray[np.object_]
"""`(N,)` dictionaries of `size` (height, width) and `counts` (compressed run lengths, as bytes)."""

T = TypeVar("T", Detections, Objects)


def encoded(item: T) -> T:
    """Return an image's detections or objects with codes in place of masks; without masks they stay as they are."""
    if item.masks is None:
        return item
    return dataclasses.replace(item, masks=None, codes=encode(item.masks))


def encode(masks: NDArray[np.bool_]) -> Codes:
    """Return the codes of masks `(N, h, w)`."""
    from hotcoco import mask

    codes = np.empty(len(masks), np.object_)
    if len(masks):
        to_codes: Any = mask.encode  # its overloads are told apart by an array's rank, which numpy's types do not carry
        codes[:] = to_codes(masks.transpose(1, 2, 0))
    return codes


def decode(code: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the mask `(h, w)` of a code."""
    from hotcoco import mask

    decoded: NDArray[np.bool_] = np.ascontiguousarray(mask.decode(dict(code)), dtype=np.bool_)
    return decoded


def to_json(code: Mapping[str, Any]) -> dict[str, Any]:
    """Return a code as JSON-serialisable dictionary, with `counts` as text."""
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def from_json(code: Mapping[str, Any]) -> dict[str, Any]:
    """Return the code that `to_json` described."""
    return {"size": code["size"], "counts": code["counts"].encode("ascii")}


def codes_of(item: Detections | Objects) -> Codes | None:
    """Return the codes of an image's masks; None: it has neither masks nor codes."""
    return item.codes if item.masks is None else encode(item.masks)


def areas(codes: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    """Return the numbers of pixels `(N,)` of masks."""
    from hotcoco import mask

    return np.asarray(mask.area(list(codes)), np.float64)
