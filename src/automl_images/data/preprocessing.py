"""From an upright RGB image to the input of a network, boxes there and back, and masks there.

One function for training, validation, ONNX serving and explanation: what a network learns on is what it later sees.
Owns resizing, placing, padding and normalising; leaves decoding to `images.py` and random changes to `augmentation/`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl_images.core.types import FloatArray, ImageArray, IntArray, Preprocessing
from automl_images.data.boxes import clip_boxes

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

_REDUCING_GAP = 3.0
"""Large photos are first shrunk by a whole factor to three times the target: faster, no visible difference."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies in the network's input.

    Attributes:
        scale_x, scale_y: input pixels per image pixel.
        left, top: input pixels in front of the image; negative where the input begins inside of it.
        width, height: pixels of the image before resizing.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Map `(N, 4)` xyxy boxes from image pixels to input pixels."""
        return np.asarray(boxes, np.float32) * self._scale() + self._offset()

    def to_image(self, boxes: FloatArray, *, clip: bool = True) -> FloatArray:
        """Map `(N, 4)` xyxy boxes from input pixels to image pixels; clipped to the image unless told otherwise."""
        mapped = (np.asarray(boxes, np.float32) - self._offset()) / self._scale()
        return clip_boxes(mapped, self.width, self.height) if clip else mapped

    def _scale(self) -> FloatArray:
        return np.asarray([self.scale_x, self.scale_y] * 2, np.float32)

    def _offset(self) -> FloatArray:
        return np.asarray([self.left, self.top] * 2, np.float32)


def preprocess(image: ImageArray, p: Preprocessing) -> tuple[FloatArray, Placement]:
    """Resize, place, pad and normalise an image; of an image that is cut only what stays is resized.

    Args:
        image: `(H, W, 3)` uint8 RGB, upright.
        p: the network's preprocessing.

    Returns:
        `(3, H', W')` float32, contiguous, and where the image lies in it. `shorter_side`: at the top left, H' and W'
        multiples of `pad_multiple`; all others: H' = W' = `max_size`, with the image in the middle.
    """
    height, width = image.shape[:2]
    new_width, new_height = resized_size(width, height, p)
    left, top, out_width, out_height = _place(new_width, new_height, p)
    placement = Placement(new_width / width, new_height / height, left, top, width, height)
    columns, rows = _covered(left, new_width, out_width), _covered(top, new_height, out_height)
    if (columns, rows) == (slice(0, out_width), slice(0, out_height)):
        out = np.empty((3, out_height, out_width), np.float32)
    else:
        factor, offset = _affine(p)
        fill = (np.asarray(p.fill, np.float32) * factor + offset)[:, None, None]
        out = np.broadcast_to(fill, (3, out_height, out_width)).copy()
    _normalise(_resize(image, placement, columns, rows, p), p, out[:, rows, columns])
    return out, placement


def resize_masks(masks: NDArray[np.bool_], placement: Placement, out_height: int, out_width: int) -> NDArray[np.bool_]:
    """Return masks as they lie in the network's input, by the nearest pixel.

    Args:
        masks: `(N, h, w)` over the whole image, of any size.
        placement: of the image in the input.
        out_height: of the input, pixels.
        out_width: of the input, pixels.

    Returns:
        `(N, out_height, out_width)`, False outside of the image.
    """
    count, height, width = masks.shape
    new_width, new_height = round(placement.scale_x * placement.width), round(placement.scale_y * placement.height)
    columns, rows = _covered(placement.left, new_width, out_width), _covered(placement.top, new_height, out_height)
    out = np.zeros((count, out_height, out_width), np.bool_)
    from_rows = _nearest(rows, placement.top, new_height, height)
    from_columns = _nearest(columns, placement.left, new_width, width)
    for mask, target in zip(masks, out, strict=True):  # one by one: what is between the two steps stays in the cache
        target[rows, columns] = mask[from_rows].take(from_columns, axis=1)
    return out


def normalise(image: ImageArray, p: Preprocessing) -> FloatArray:
    """Return `(value / 255 - mean) / std` of an `(H, W, 3)` uint8 image as contiguous `(3, H, W)` float32."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    _normalise(image, p, out)
    return out


def resized_size(width: int, height: int, p: Preprocessing) -> tuple[int, int]:
    """Return width and height, at least 1, of an image after resizing and before padding or cutting."""
    if p.resize == "stretch":
        return p.max_size, p.max_size
    if p.resize == "centre_crop":  # the longer side is rounded down as torchvision does
        shorter = min(width, height)
        return p.min_size * width // shorter, p.min_size * height // shorter
    scale = p.max_size / max(width, height)
    if p.resize == "shorter_side":
        scale = min(p.min_size / min(width, height), scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _place(width: int, height: int, p: Preprocessing) -> tuple[int, int, int, int]:
    """Return left, top, and the width and height of the input."""
    if p.resize == "shorter_side":
        multiple = p.pad_multiple
        return 0, 0, -(-width // multiple) * multiple, -(-height // multiple) * multiple
    return _centred(width, p.max_size), _centred(height, p.max_size), p.max_size, p.max_size


def _centred(length: int, size: int) -> int:
    """Return where `length` pixels begin in the middle of `size` pixels; halves are rounded as torchvision does."""
    return (size - length) // 2 if length < size else -round((length - size) / 2)


def _covered(start: int, length: int, size: int) -> slice:
    """Return which of `size` pixels are covered by `length` pixels from `start` on."""
    return slice(max(start, 0), min(start + length, size))


def _nearest(covered: slice, start: int, length: int, count: int) -> IntArray:
    """Return which of `count` pixels, spread over `length` from `start` on, lies below each centre of `covered`."""
    centres = np.arange(covered.start, covered.stop) - start + 0.5
    return np.asarray(centres * (count / length), np.int64)


def _resize(image: ImageArray, placement: Placement, columns: slice, rows: slice, p: Preprocessing) -> ImageArray:
    """Return the part of the resized image that lies in `columns` and `rows` of the input."""
    size = columns.stop - columns.start, rows.stop - rows.start
    left, right = ((x - placement.left) / placement.scale_x for x in (columns.start, columns.stop))
    top, bottom = ((y - placement.top) / placement.scale_y for y in (rows.start, rows.stop))
    if (left, top, right, bottom) == (0, 0, *size) and size == (placement.width, placement.height):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    box = left, top, min(right, placement.width), min(bottom, placement.height)
    return np.asarray(picture.resize(size, _FILTERS[p.interpolation], box, reducing_gap=_REDUCING_GAP))


def _affine(p: Preprocessing) -> tuple[FloatArray, FloatArray]:
    mean, std = np.asarray(p.mean, np.float32), np.asarray(p.std, np.float32)
    return np.asarray(1 / (255 * std), np.float32), np.asarray(-mean / std, np.float32)


def _normalise(image: ImageArray, p: Preprocessing, out: FloatArray) -> None:
    factor, offset = _affine(p)
    for channel in range(3):
        np.multiply(image[:, :, channel], factor[channel], out=out[channel])
        out[channel] += offset[channel]
