"""From an upright RGB image to the input of a network, and boxes there and back.

One function for training, validation, ONNX serving and explanation: what a network learns on is what it later sees.
Owns resizing, placing, padding and normalising; leaves decoding to `images.py` and random changes to `augmentation/`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from automl_images.core.types import FloatArray, ImageArray, Preprocessing
from automl_images.data.boxes import clip_boxes

_REDUCING_GAP = 3.0
"""Large photos are first shrunk by a whole factor to three times the target: faster, no visible difference."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies in the network's input.

    Attributes:
        scale_x, scale_y: input pixels per image pixel.
        left, top: input pixels in front of the image.
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

    def to_image(self, boxes: FloatArray) -> FloatArray:
        """Map `(N, 4)` xyxy boxes from input pixels to image pixels, clipped to the image."""
        inside = (np.asarray(boxes, np.float32) - self._offset()) / self._scale()
        return clip_boxes(inside, self.width, self.height)

    def _scale(self) -> FloatArray:
        return np.asarray([self.scale_x, self.scale_y] * 2, np.float32)

    def _offset(self) -> FloatArray:
        return np.asarray([self.left, self.top] * 2, np.float32)


def preprocess(image: ImageArray, p: Preprocessing) -> tuple[FloatArray, Placement]:
    """Resize, place, pad and normalise an image.

    Args:
        image: `(H, W, 3)` uint8 RGB, upright.
        p: the network's preprocessing.

    Returns:
        `(3, H', W')` float32, contiguous, and where the image lies in it. `shorter_side`: at the top left, H' and W'
        multiples of `pad_multiple`; `letterbox`: centred, H' = W' = `max_size`.
    """
    height, width = image.shape[:2]
    new_width, new_height = resized_size(width, height, p)
    left, top, out_width, out_height = _place(new_width, new_height, p)
    placement = Placement(new_width / width, new_height / height, left, top, width, height)
    factor, offset = _affine(p)
    if (out_width, out_height) == (new_width, new_height):
        out = np.empty((3, out_height, out_width), np.float32)
    else:
        fill = (np.asarray(p.fill, np.float32) * factor + offset)[:, None, None]
        out = np.broadcast_to(fill, (3, out_height, out_width)).copy()
    _normalise(_resize(image, new_width, new_height), p, out[:, top : top + new_height, left : left + new_width])
    return out, placement


def normalise(image: ImageArray, p: Preprocessing) -> FloatArray:
    """Return `(value / 255 - mean) / std` of an `(H, W, 3)` uint8 image as contiguous `(3, H, W)` float32."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    _normalise(image, p, out)
    return out


def resized_size(width: int, height: int, p: Preprocessing) -> tuple[int, int]:
    """Return width and height, at least 1, of an image after resizing and before padding."""
    scale = p.max_size / max(width, height)
    if p.resize == "shorter_side":
        scale = min(p.min_size / min(width, height), scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _place(width: int, height: int, p: Preprocessing) -> tuple[int, int, int, int]:
    """Return left, top, and the width and height of the input."""
    if p.resize == "letterbox":
        return (p.max_size - width) // 2, (p.max_size - height) // 2, p.max_size, p.max_size
    multiple = p.pad_multiple
    return 0, 0, -(-width // multiple) * multiple, -(-height // multiple) * multiple


def _resize(image: ImageArray, width: int, height: int) -> ImageArray:
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    resized = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized)


def _affine(p: Preprocessing) -> tuple[FloatArray, FloatArray]:
    mean, std = np.asarray(p.mean, np.float32), np.asarray(p.std, np.float32)
    return np.asarray(1 / (255 * std), np.float32), np.asarray(-mean / std, np.float32)


def _normalise(image: ImageArray, p: Preprocessing, out: FloatArray) -> None:
    factor, offset = _affine(p)
    for channel in range(3):
        np.multiply(image[:, :, channel], factor[channel], out=out[channel])
        out[channel] += offset[channel]
