"""From images to the outputs of a network: what all predictors share.

Evaluation, the parity gate, batch scoring and the endpoint all come through here: preprocess, batch, run. What the
outputs mean is the matter of `detection_predictor.py` and `classification_predictor.py`; what runs the network is a
backend; reading files is `data/images.py`, the response's schema is `data/mltable.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import FloatArray, ImageArray
from automl_images.data.preprocessing import Placement, preprocess
from automl_images.inference.backend import Backend
from automl_images.inference.metadata import ModelMetadata

PENDING_BATCHES = 4

Region = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of an image, pixels."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """An image or one of its tiles, preprocessed; `part` counts the pieces of an image, 0 is the whole."""

    image: int
    part: int
    left: int
    top: int
    pixels: FloatArray
    placement: Placement


class Predictor:
    """A backend with the metadata of its model.

    Attributes:
        metadata: names, preprocessing and thresholds in use.
    """

    def __init__(self, backend: Backend, metadata: ModelMetadata) -> None:
        self.backend = backend
        self.metadata = metadata

    def outputs(self, images: Sequence[ImageArray], *, batch_size: int = 1) -> Iterator[list[NDArray[Any]]]:
        """Yield what the network gives for each batch of images or tiles, undecoded; for comparing two backends."""
        for _, outputs in self._run(images, True, batch_size):
            yield outputs

    def _run(
        self, images: Sequence[ImageArray], tiling: bool, batch_size: int
    ) -> Iterator[tuple[list[Piece], list[NDArray[Any]]]]:
        size = batch_size if self.backend.dynamic_batch else 1
        for batch in _equal_shapes(self._pieces(images, tiling), size):
            yield batch, self.backend.run(np.stack([piece.pixels for piece in batch]))

    def _regions(self, width: int, height: int, tiling: bool) -> list[Region]:
        """Return the parts of an image that the network is to see, the whole first."""
        return [(0, 0, width, height)]

    def _pieces(self, images: Sequence[ImageArray], tiling: bool) -> Iterator[Piece]:
        for index in range(len(images)):
            image = images[index]
            for part, (left, top, right, bottom) in enumerate(self._regions(image.shape[1], image.shape[0], tiling)):
                crop = image[top:bottom, left:right]
                yield Piece(index, part, left, top, *preprocess(crop, self.metadata.input_preprocessing))


def _equal_shapes(pieces: Iterator[Piece], size: int) -> Iterator[list[Piece]]:
    """Group pieces of equal shape into batches of at most `size`, holding only few of them in memory."""
    waiting: dict[tuple[int, ...], list[Piece]] = {}
    for piece in pieces:
        group = waiting.setdefault(piece.pixels.shape, [])
        group.append(piece)
        if len(group) == size:
            yield waiting.pop(piece.pixels.shape)
        elif sum(map(len, waiting.values())) >= PENDING_BATCHES * size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()
