"""Preprocessing of the R-CNN family: the image keeps its aspect, its shorter side has a given length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_images.core.types import Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def shorter_side(
    hyperparameters: Mapping[str, Any], mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """Return the preprocessing for `min_size` and `max_size`; padding has the mean colour, 0 to the network.

    Args:
        hyperparameters: resolved.
        mean: RGB, in the scale 0..1, as in the training of the backbone's weights.
        std: likewise.
    """
    red, green, blue = (255 * value for value in mean)
    return Preprocessing(
        resize="shorter_side",
        min_size=hyperparameters["min_size"],
        max_size=hyperparameters["max_size"],
        fill=(red, green, blue),
        mean=mean,
        std=std,
    )
