"""Zooming around the image's centre into a square (specification F: rotation, translation and shear are 0).

With nothing but a scale left of the affine map, cutting a window out and resizing it gives the same picture as warping,
several times faster.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.canvas import GREY, Colour, compose
from automl_images.augmentation.draws import uniform
from automl_images.augmentation.sample import Sample, plain
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class WindowParameters(Parameters):
    """Parameters of `centre_crop`.

    Attributes:
        size: s, pixels of the square that comes out.
        fill: RGB of what lies outside the image.
        minimum_side: boxes must be wider and higher than this, pixels of the result.
        minimum_area: share of a box's area that must be left, in [0, 1).
        maximum_aspect: boxes must be less elongated than this (longer / shorter side).
    """

    size: int = Field(ge=1)
    fill: Colour = GREY
    minimum_side: float = Field(default=2.0, ge=0)
    minimum_area: float = Field(default=0.2, ge=0, lt=1)
    maximum_aspect: float = Field(default=20.0, gt=1)


class AffineParameters(WindowParameters):
    """Parameters of `random_affine`: those of `WindowParameters` and the scale.

    Attributes:
        minimum_scale, maximum_scale: range of the size in the result / size in the image.
    """

    minimum_scale: float = Field(default=0.5, ge=0.1)
    maximum_scale: float = Field(default=1.5, le=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum_scale > self.maximum_scale:
            raise ValueError(f"minimum_scale {self.minimum_scale} is above maximum_scale {self.maximum_scale}")
        return self


def random_affine(sample: Sample, parameters: AffineParameters, generator: torch.Generator, other: LoadOther) -> Sample:
    """Scale the image around its centre by a random factor and return the s x s pixels around the centre."""
    scale = uniform(generator, parameters.minimum_scale, parameters.maximum_scale)
    return _window(sample, scale, parameters)


def centre_crop(sample: Sample, parameters: WindowParameters, generator: torch.Generator, other: LoadOther) -> Sample:
    """Return the s x s pixels around the image's centre: what is left of `random_affine` without a random scale."""
    return _window(sample, 1.0, parameters)


def _window(sample: Sample, scale: float, p: WindowParameters) -> Sample:
    side = max(1, round(p.size / scale))
    top, left = (sample.height - side) // 2, (sample.width - side) // 2
    y0, y1, place_y, height = _span(top, side, sample.height, p.size)
    x0, x1, place_x, width = _span(left, side, sample.width, p.size)
    zoom = torch.tensor([width / (x1 - x0), height / (y1 - y0)])
    kept = sample.take(_worth_keeping(plain(sample.boxes), (x0, y0, x1, y1), zoom, p))
    part = kept.move(F.crop, y0, x0, y1 - y0, x1 - x0).resized(height, width)
    if (height, width) == (p.size, p.size):
        return part
    return compose([(part, place_y, place_x)], p.size, p.size, p.fill)


def _span(start: int, side: int, length: int, size: int) -> tuple[int, int, int, int]:
    """Return the part of the image inside the window, and where it begins in the result and how long it is there."""
    low, high = max(start, 0), min(start + side, length)
    first, last = round((low - start) * size / side), round((high - start) * size / side)
    extent = max(1, last - first)
    return low, high, min(first, size - extent), extent


def _worth_keeping(boxes: Tensor, window: tuple[int, int, int, int], zoom: Tensor, p: WindowParameters) -> Tensor:
    """Tell which boxes `(N, 4)` are still good examples after clipping to `window` (xyxy) and scaling by `zoom`."""
    low, high = torch.tensor(window[:2]), torch.tensor(window[2:])
    visible = torch.minimum(boxes[:, 2:], high) - torch.maximum(boxes[:, :2], low)
    share = visible.prod(dim=1) / (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    sides = visible * zoom
    aspect = sides.amax(dim=1) / sides.amin(dim=1)
    return (sides > p.minimum_side).all(dim=1) & (share > p.minimum_area) & (aspect < p.maximum_aspect)


STEPS.register("random_affine")(StepType("random scale", AffineParameters, random_affine))
STEPS.register("centre_crop")(StepType("centre crop", WindowParameters, centre_crop))
