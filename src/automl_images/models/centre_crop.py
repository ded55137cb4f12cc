"""Preprocessing of classifiers: the image keeps its aspect, the square in its middle is what the network sees."""

from __future__ import annotations

from typing import Literal

from automl_images.core.types import Preprocessing

Colour = tuple[float, float, float]


def centre_crop(
    resize_size: int, crop_size: int, mean: Colour, std: Colour, interpolation: Literal["bilinear", "bicubic"]
) -> Preprocessing:
    """Return the preprocessing; where the crop is larger than the image, the rest has the mean colour.

    Args:
        resize_size: shorter side of the scaled image, pixels.
        crop_size: side of the square, pixels.
        mean: RGB, in the scale 0..1, as in the training of the network's weights.
        std: likewise.
        interpolation: of the scaling.
    """
    red, green, blue = (255 * value for value in mean)
    return Preprocessing(
        resize="centre_crop",
        min_size=resize_size,
        max_size=crop_size,
        fill=(red, green, blue),
        mean=mean,
        std=std,
        interpolation=interpolation,
    )
