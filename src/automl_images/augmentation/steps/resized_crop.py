"""Cutting any part out of the image and scaling it to the input's size (specification F)."""

from __future__ import annotations

import math
from typing import Self

import torch
from pydantic import Field, model_validator
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.draws import integer, uniform
from automl_images.augmentation.sample import Interpolation, Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType

TRIES = 10


class ResizedCropParameters(Parameters):
    """Parameters of `random_resized_crop`.

    Attributes:
        size: pixels of the square that comes out.
        minimum_scale, maximum_scale: range of the part's share of the image's area, in (0, 1].
        minimum_ratio, maximum_ratio: range of the part's width / height.
        interpolation: of the scaling.
    """

    size: int = Field(ge=1)
    minimum_scale: float = Field(default=0.08, gt=0, le=1)
    maximum_scale: float = Field(default=1.0, gt=0, le=1)
    minimum_ratio: float = Field(default=3 / 4, gt=0)
    maximum_ratio: float = Field(default=4 / 3, gt=0)
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, low, high in (
            ("scale", self.minimum_scale, self.maximum_scale),
            ("ratio", self.minimum_ratio, self.maximum_ratio),
        ):
            if low > high:
                raise ValueError(f"minimum_{name} {low} is above maximum_{name} {high}")
        return self


def random_resized_crop(
    sample: Sample, parameters: ResizedCropParameters, generator: torch.Generator, other: LoadOther
) -> Sample:
    """Cut out a part of random area, shape and place, and scale it to a square, whatever its shape.

    The rule is torchvision's: the area's share is uniform, the shape log-uniform, the place uniform. A part that does
    not fit is drawn again; after ten tries it is the middle of the image, as much of it as the range of shapes allows.
    """
    width, height = _part(sample, parameters, generator)
    if width and height:
        top, left = integer(generator, sample.height - height + 1), integer(generator, sample.width - width + 1)
    else:
        width, height = _largest(sample.width, sample.height, parameters)
        top, left = (sample.height - height) // 2, (sample.width - width) // 2
    part = sample.move(F.crop, top, left, height, width)
    return part.resized(parameters.size, parameters.size, parameters.interpolation)


def _part(sample: Sample, p: ResizedCropParameters, generator: torch.Generator) -> tuple[int, int]:
    """Return width and height of a part that fits, or zeros."""
    for _ in range(TRIES):
        area = sample.width * sample.height * uniform(generator, p.minimum_scale, p.maximum_scale)
        ratio = math.exp(uniform(generator, math.log(p.minimum_ratio), math.log(p.maximum_ratio)))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= sample.width and 0 < height <= sample.height:
            return width, height
    return 0, 0


def _largest(width: int, height: int, p: ResizedCropParameters) -> tuple[int, int]:
    """Return width and height of the largest part whose shape is in the range."""
    if width < p.minimum_ratio * height:
        return width, max(1, round(width / p.minimum_ratio))
    return max(1, min(width, round(height * p.maximum_ratio))), height


STEPS.register("random_resized_crop")(StepType("random resized crop", ResizedCropParameters, random_resized_crop))
