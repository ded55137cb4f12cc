"""Bringing every image to the same scale before steps that count in pixels."""

from __future__ import annotations

import torch
from pydantic import Field

from automl_images.augmentation.canvas import resize_longest
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class ResizeParameters(Parameters):
    """Parameters of `resize_longest_side`.

    Attributes:
        size: pixels of the longer side.
    """

    size: int = Field(ge=1)


def resize_longest_side(
    sample: Sample, parameters: ResizeParameters, generator: torch.Generator, other: LoadOther
) -> Sample:
    """Scale the image, up or down, so that its longer side is `size` pixels."""
    return resize_longest(sample, parameters.size)


STEPS.register("resize_longest_side")(StepType("resize", ResizeParameters, resize_longest_side))
