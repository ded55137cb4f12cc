"""The ways in which both sides of the parity gate are given images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from automl_images.core.types import ImageArray

SINGLE_IMAGES = 8
RESIZED_IMAGES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One way of giving images to both sides."""

    name: str
    images: Sequence[ImageArray]
    score: float
    batch_size: int


def cases_of(images: Sequence[ImageArray], score: float, batch_size: int) -> Iterator[Case]:
    """Yield ways of giving images to both sides: in batches, alone, in other shapes, and noise."""
    some = [images[index] for index in range(min(SINGLE_IMAGES, len(images)))]
    noise = np.random.default_rng(0).integers(96, 160, some[0].shape, np.uint8)
    varied = [variant for image in some[:RESIZED_IMAGES] for variant in _variants(image)]
    yield Case("some validation images in batches", some, score, batch_size)
    yield Case("some validation images one by one", some, score, 1)
    yield Case("images of other sizes and shapes", varied, score, batch_size)
    yield Case("grey noise", [noise], score, 1)


def _variants(image: ImageArray) -> list[ImageArray]:
    """Return a smaller copy of odd size, a tall and a wide part."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height - 1, max(3, int(height * 0.61) | 1)).astype(np.int64)
    columns = np.linspace(0, width - 1, max(3, int(width * 0.57) | 1)).astype(np.int64)
    tall, wide = image[:, : max(1, width // 2)], image[: max(1, height * 2 // 5)]
    return [np.ascontiguousarray(part) for part in (image[rows][:, columns], tall, wide)]
