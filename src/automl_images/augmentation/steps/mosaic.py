"""Four images around a random point of one canvas (specification F; Bochkovskiy et al. 2020, YOLOv4, section 3.4)."""

from __future__ import annotations

import torch
from pydantic import Field

from automl_images.augmentation.canvas import GREY, Colour, compose, resize_longest
from automl_images.augmentation.draws import uniform
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, LoadOther, Parameters, StepType


class MosaicParameters(Parameters):
    """Parameters of `mosaic`.

    Attributes:
        size: s, pixels of the longer side of each image; the canvas is 2s x 2s.
        fill: RGB of the canvas.
    """

    size: int = Field(ge=1)
    fill: Colour = GREY


def mosaic(sample: Sample, parameters: MosaicParameters, generator: torch.Generator, other: LoadOther) -> Sample | None:
    """Put the image and three others around a centre drawn uniformly from [s/2, 3s/2] in both directions.

    Each image touches the centre with one corner and is cut at the canvas's edges.

    Returns:
        The sample of the canvas, `2s x 2s` pixels, or None when one of the others cannot be read.
    """
    size = parameters.size
    x = round(uniform(generator, size / 2, 3 * size / 2))
    y = round(uniform(generator, size / 2, 3 * size / 2))
    samples = [resize_longest(sample, size)]
    for _ in range(3):
        loaded = other()
        if loaded is None:
            return None
        samples.append(resize_longest(loaded, size))
    first, second, third, fourth = samples
    pieces = [
        (first, y - first.height, x - first.width),
        (second, y - second.height, x),
        (third, y, x - third.width),
        (fourth, y, x),
    ]
    return compose(pieces, 2 * size, 2 * size, parameters.fill)


STEPS.register("mosaic")(StepType("mosaic of four", MosaicParameters, mosaic))
