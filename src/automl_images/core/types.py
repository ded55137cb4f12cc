"""The values that travel between rooms.

Conventions: `boxes` are `(N, 4)` float32, xyxy, absolute pixels of the upright (EXIF-rotated) image; `labels` are
`(N,)` int64 indices into the sorted class names, without background; `scores` are `(N,)` float32 in [0, 1]; `masks`
are `(N, H, W)` bool. Coordinates normalised to [0, 1] exist only in rows (the JSONL of an MLTable) and in scoring
responses; `data/mltable.py` converts.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Row = dict[str, Any]
"""One line of `annotations.jsonl`: `image_url`, `image_details`, `label` (specification A.2)."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
ImageArray = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows with their class names and, once saved, the folder or file that holds them.

    In memory `image_url` is an absolute path or a URL; on disk it is relative to the table's folder.
    """

    rows: list[Row]
    path: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something in the user's data that is wrong or worth knowing.

    Attributes:
        code: stable upper-case name, for example `BOX_OUTSIDE_IMAGE`.
        severity: `error` findings count against `max_invalid`; `warning` findings do not.
        message: what is wrong, with the value, in one line.
        file: the annotation or image file, as the user named it.
        line: line in `file` counted from 1, where the format has lines.
        item: id of the image or annotation inside `file`, where the format has ids.
        value: the offending value, as short text.
        action: what was done: `dropped row`, `dropped box`, `clipped box`, `kept`, `failed` ….
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    file: str
    action: str
    line: int | None = None
    item: str | None = None
    value: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-serialisable dictionary."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """Annotated objects of one image: the ground truth.

    Attributes:
        boxes: `(N, 4)`; labels: `(N,)`; crowd: `(N,)` bool; masks: `(N, h, w)` bool or None, over the whole image, of
            the size that `data.masks.canvas_size` gives (the image's own unless it is very large).
        codes: `(N,)` COCO's run-length codes in place of masks, about a thousandth of their size
            (`data.mask_codes.encoded`).
    """

    boxes: FloatArray
    labels: IntArray
    crowd: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None = None
    codes: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class Detections:
    """Predicted objects of one image, by falling score.

    Attributes:
        boxes: `(N, 4)`; labels: `(N,)`; scores: `(N,)`; masks, codes: as in `Objects`.
    """

    boxes: FloatArray
    labels: IntArray
    scores: FloatArray
    masks: NDArray[np.bool_] | None = None
    codes: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[Any]) -> Detections:
        """Return the detections that an index or boolean array selects, in its order."""
        masks = None if self.masks is None else self.masks[index]
        codes = None if self.codes is None else self.codes[index]
        return Detections(self.boxes[index], self.labels[index], self.scores[index], masks, codes)


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an upright RGB uint8 image becomes the float32 input of a network; travels with every model.

    Attributes:
        resize: `shorter_side`: scale so that the shorter side is `min_size` but the longer at most `max_size`;
            `letterbox`: scale so that the longer side is `max_size`, centre on a `max_size` square filled with `fill`;
            `centre_crop`: scale so that the shorter side is `min_size`, keep the `max_size` square in the middle;
            `stretch`: scale to a `max_size` square whatever the shape.
        min_size, max_size: pixels.
        interpolation: of the scaling.
        pad_multiple: height and width are padded at the right and bottom to a multiple of this (`shorter_side`).
        fill: RGB value in 0..255 of padding.
        mean, std: RGB, in the scale 0..1; the network sees `(value / 255 - mean) / std`.
    """

    resize: Literal["shorter_side", "letterbox", "centre_crop", "stretch"]
    min_size: int
    max_size: int
    pad_multiple: int = 32
    fill: tuple[float, float, float] = (114.0, 114.0, 114.0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Return the object that `as_dict` described."""
        triples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **triples})
