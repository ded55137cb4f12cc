"""Changing brightness, contrast, saturation and hue (specification F)."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.draws import uniform
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class ColourParameters(Parameters):
    """Parameters of `colour_jitter`.

    Attributes:
        brightness, contrast, saturation: in [0, 1]; that property is multiplied by one of [1 - value, 1 + value].
        hue: in [0, 0.5]; hue is turned by a share of the circle from [-value, value].
    """

    brightness: float = Field(default=0.4, ge=0, le=1)
    contrast: float = Field(default=0.4, ge=0, le=1)
    saturation: float = Field(default=0.4, ge=0, le=1)
    hue: float = Field(default=0.4, ge=0, le=0.5)


_KERNELS = (
    ("brightness", F.adjust_brightness, 1.0),
    ("contrast", F.adjust_contrast, 1.0),
    ("saturation", F.adjust_saturation, 1.0),
    ("hue", F.adjust_hue, 0.0),
)
"""Parameter, function, and the value around which the random factors lie."""


def colour_jitter(sample: Sample, parameters: ColourParameters, generator: torch.Generator, other: LoadOther) -> Sample:
    """Change brightness, contrast, saturation and hue by random factors in random order; objects stay as they are.

    On a Pillow image, whose hue is three times faster than a tensor's.
    """
    picture = Image.fromarray(sample.array())
    for i in torch.randperm(len(_KERNELS), generator=generator).tolist():
        name, kernel, middle = _KERNELS[i]
        strength = getattr(parameters, name)
        factor = uniform(generator, middle - strength, middle + strength)
        if strength:
            picture = kernel(picture, factor)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return dataclasses.replace(sample, image=tv_tensors.Image(pixels))


STEPS.register("colour_jitter")(StepType("colour jitter", ColourParameters, colour_jitter))
