"""From images to the probability of each class: the one way in which every classifier is used after training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.errors import ModelError
from automl_images.core.types import FloatArray, ImageArray
from automl_images.data.mltable import classes_to_response
from automl_images.inference.backend import Backend
from automl_images.inference.metadata import ClassifierMetadata
from automl_images.inference.predictor import Predictor


def softmax(logits: NDArray[np.float32]) -> FloatArray:
    """Return probabilities `(B, C)` of classes of which each image has one."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def sigmoid(logits: NDArray[np.float32]) -> FloatArray:
    """Return probabilities `(B, C)` of classes of which each image has any number."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}
"""Values of `ModelMetadata.decoder` for classifiers."""


class ClassificationPredictor(Predictor):
    """A classifier with everything around it."""

    def __init__(self, backend: Backend, metadata: ClassifierMetadata) -> None:
        """Join a backend with the metadata of its model.

        Raises:
            ModelError: the metadata names a decoder that does not exist.
        """
        if metadata.decoder not in ACTIVATIONS:
            raise ModelError(
                f"The model's outputs need the decoder {metadata.decoder!r}, this version has "
                f"{', '.join(ACTIVATIONS)}. Use the version of automl-images that exported the model."
            )
        super().__init__(backend, metadata)
        self.metadata: ClassifierMetadata = metadata
        self._activation = ACTIVATIONS[metadata.decoder]

    def predict(self, images: Sequence[ImageArray], *, batch_size: int = 1) -> FloatArray:
        """Return the probability of each class in each image.

        Args:
            images: `(H, W, 3)` uint8 RGB, upright, any sizes. A lazy sequence is read one image at a time.
            batch_size: most images in one pass of the network.

        Returns:
            `(N, classes)` float32; rows add up to 1 where an image has exactly one class.

        Raises:
            ModelError: the network fails, or gives numbers that are not finite.
        """
        found = np.zeros((len(images), len(self.metadata.classes)), np.float32)
        for batch, (logits, *_) in self._run(images, False, batch_size):
            if not np.isfinite(logits).all():
                raise ModelError(
                    "The network gave values that are not finite numbers. Its weights are damaged or diverged."
                )
            found[[piece.image for piece in batch]] = self._activation(logits)
        return found

    def respond(self, images: Iterable[ImageArray]) -> Iterator[dict[str, Any]]:
        """Yield the scoring response of each image, `{"probs": […], "labels": […]}`; errors as of `predict`."""
        for image in images:
            [found] = self.predict([image])
            yield classes_to_response(found, self.metadata.classes)
