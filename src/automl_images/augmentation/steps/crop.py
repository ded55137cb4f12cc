"""Cutting a rectangle out of the image without losing or cutting an object (specification F)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.sample import Sample, plain
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class CropParameters(Parameters):
    """Parameters of `random_crop_containing_boxes`.

    Attributes:
        tries: rectangles that are drawn before the image stays as it is.
        minimum_area: least share of the image's area, in (0, 1].
        minimum_aspect, maximum_aspect: open range of height / width.
    """

    tries: int = Field(default=50, ge=1)
    minimum_area: float = Field(default=0.6, gt=0, le=1)
    minimum_aspect: float = Field(default=0.5, gt=0)
    maximum_aspect: float = Field(default=2.0, gt=0)


def random_crop_containing_boxes(
    sample: Sample, parameters: CropParameters, generator: torch.Generator, other: LoadOther
) -> Sample:
    """Crop to the first acceptable one of some random rectangles that contain every box, else change nothing.

    Without boxes the rectangles contain a random point.
    """
    crops = _rectangles(sample, torch.rand((parameters.tries + 1, 4), generator=generator, dtype=torch.float64))
    sides = crops[:, 2:] - crops[:, :2]
    aspect = sides[:, 1] / sides[:, 0]
    accepted = (sides.prod(dim=1) >= parameters.minimum_area * sample.height * sample.width) & (
        (aspect > parameters.minimum_aspect) & (aspect < parameters.maximum_aspect)
    )
    if not bool(accepted.any()):
        return sample
    x0, y0, x1, y1 = (int(v) for v in crops[int(accepted.to(torch.uint8).argmax())])
    return sample.move(F.crop, y0, x0, y1 - y0, x1 - x0)


def _rectangles(sample: Sample, draws: Tensor) -> Tensor:
    """Return whole-pixel rectangles `(T, 4)` xyxy with an area, made of `draws` `(1 + T, 4)` in [0, 1)."""
    size = torch.tensor([sample.width, sample.height], dtype=torch.float64)
    if len(sample):
        boxes = plain(sample.boxes).to(torch.float64)
        first, last = boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)
    else:
        first = last = draws[0, :2] * size
    low, high = draws[1:, :2] * first, last + draws[1:, 2:] * (size - last)
    low = torch.minimum(low.floor(), size - 1)
    high = torch.minimum(torch.maximum(high.ceil(), low + 1), size)
    return torch.cat([low, high], dim=1)


STEPS.register("random_crop_containing_boxes")(StepType("crop", CropParameters, random_crop_containing_boxes))
