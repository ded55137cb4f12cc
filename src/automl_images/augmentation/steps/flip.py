"""Mirroring left and right."""

from __future__ import annotations

import torch
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class FlipParameters(Parameters):
    """Nothing to choose."""


def horizontal_flip(sample: Sample, parameters: FlipParameters, generator: torch.Generator, other: LoadOther) -> Sample:
    """Mirror image and objects left and right."""
    return sample.move(F.horizontal_flip)


STEPS.register("horizontal_flip")(StepType("horizontal flip", FlipParameters, horizontal_flip))
