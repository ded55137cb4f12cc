"""Changing brightness, contrast and saturation (ours; in no default plan)."""

from __future__ import annotations

import dataclasses

import torch
from pydantic import Field
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.draws import uniform
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class PhotometricParameters(Parameters):
    """Parameters of `photometric`: each factor is drawn from [1 - value, 1 + value].

    Attributes:
        brightness, contrast, saturation: in [0, 1]; 0 leaves that property alone.
    """

    brightness: float = Field(default=0.3, ge=0, le=1)
    contrast: float = Field(default=0.3, ge=0, le=1)
    saturation: float = Field(default=0.3, ge=0, le=1)


_KERNELS = (
    ("brightness", F.adjust_brightness),
    ("contrast", F.adjust_contrast),
    ("saturation", F.adjust_saturation),
)


def photometric(
    sample: Sample, parameters: PhotometricParameters, generator: torch.Generator, other: LoadOther
) -> Sample:
    """Multiply brightness, then contrast, then saturation by random factors; objects stay as they are."""
    image = sample.image
    for name, kernel in _KERNELS:
        strength = getattr(parameters, name)
        factor = uniform(generator, 1 - strength, 1 + strength)
        if strength:
            image = kernel(image, factor)
    return dataclasses.replace(sample, image=image)


STEPS.register("photometric")(StepType("brightness, contrast, saturation", PhotometricParameters, photometric))
