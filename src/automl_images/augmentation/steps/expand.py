"""Putting the image somewhere on a larger canvas, so that objects become smaller (specification F)."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator

from automl_images.augmentation.canvas import IMAGENET_MEAN, Colour, compose
from automl_images.augmentation.draws import uniform
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType

LARGE = 2_000_000
"""Pixels above which the image is shrunk instead of the canvas enlarged: networks see less than that anyway."""


class ExpandParameters(Parameters):
    """Parameters of `random_expand`.

    Attributes:
        minimum_ratio, maximum_ratio: range of canvas side / image side.
        fill: RGB of the canvas.
    """

    minimum_ratio: float = Field(default=1.0, ge=1)
    maximum_ratio: float = Field(default=2.0, ge=1, le=8)
    fill: Colour = IMAGENET_MEAN

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum_ratio > self.maximum_ratio:
            raise ValueError(f"minimum_ratio {self.minimum_ratio} is above maximum_ratio {self.maximum_ratio}")
        return self


def random_expand(sample: Sample, parameters: ExpandParameters, generator: torch.Generator, other: LoadOther) -> Sample:
    """Paste the image at a random place of a canvas with a random ratio of sides."""
    ratio = uniform(generator, parameters.minimum_ratio, parameters.maximum_ratio)
    height, width = sample.height, sample.width
    if height * width > LARGE:
        sample = sample.resized(round(height / ratio), round(width / ratio))
    else:
        height, width = round(height * ratio), round(width * ratio)
    top = round(uniform(generator, 0, height - sample.height))
    left = round(uniform(generator, 0, width - sample.width))
    return compose([(sample, top, left)], height, width, parameters.fill)


STEPS.register("random_expand")(StepType("expand", ExpandParameters, random_expand))
