"""A classifier with its data and its yardstick, as the trainer wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from automl_images.evaluation.classification import classification_metrics
from automl_images.models.base import Classifier
from automl_images.tasks.classification_data import (
    ClassifiedBatch,
    ClassifiedItem,
    Mixing,
    TrainingSet,
    ValidationSet,
)

LARGEST_BALANCE = 2
"""Most images of a class for each of another up to which weighted_loss has no effect (specification B.3)."""


def class_weights(targets: Tensor, weighted_loss: int, multilabel: bool) -> Tensor | None:
    """Return the weights of classes in the training loss (specification B.3).

    Args:
        targets: `(N, C)` of zeros and ones.
        weighted_loss: 0: none; 1: the root of the weights; 2: the weights.
        multilabel: weights are those of a class's presence against its absence, else one over its count.

    Returns:
        `(C,)`, 0 for a class without images, of which the mean over the images is 1 where an image has one class;
        None where the classes are balanced or no weights are wanted.
    """
    counts = targets.sum(dim=0)
    present = counts[counts > 0]
    if not weighted_loss or not len(present) or int(present.max() / present.min()) <= LARGEST_BALANCE:
        return None
    absent = (len(targets) - counts).clamp(min=1)  # a class of all images is learnt, too
    raw = absent / counts if multilabel else 1 / counts
    raw[~torch.isfinite(raw)] = 0.0
    weights = raw.sqrt() ** weighted_loss
    return weights if multilabel else weights * (len(targets) / (weights * counts).sum())


class ClassificationLearner:
    """Implements `training.learner.Learner` for one or many classes an image.

    Args:
        model: the network.
        training_set, validation_set: see `classification_data`.
        unaugmented_training_set: the training images as validation samples.
        hyperparameters: resolved.
        primary_metric: larger is better.
        multilabel: an image has any number of classes, else exactly one.
    """

    def __init__(
        self,
        model: Classifier,
        training_set: TrainingSet,
        validation_set: ValidationSet,
        unaugmented_training_set: ValidationSet,
        hyperparameters: Mapping[str, Any],
        primary_metric: str,
        multilabel: bool,
    ) -> None:
        self.model = model
        self.training_set = training_set
        self.validation_set = validation_set
        self.unaugmented_training_set = unaugmented_training_set
        self.primary_metric = primary_metric
        self.multilabel = multilabel
        self.smoothing = float(hyperparameters["label_smoothing"])
        self.mixing = Mixing(hyperparameters["mixup"], hyperparameters["cutmix"])
        self.weights = class_weights(training_set.targets, hyperparameters["weighted_loss"], multilabel)

    def collate(self, samples: Sequence[ClassifiedItem | None]) -> ClassifiedBatch | None:
        """Make a batch of the samples that could be read."""
        items = [sample for sample in samples if sample is not None]
        return ClassifiedBatch.of(items, self.mixing) if items else None

    def losses(self, model: nn.Module, batch: ClassifiedBatch) -> Mapping[str, Tensor]:
        """Return the cross entropy; weights and smoothing are for training alone."""
        logits, targets = model(batch.images).float(), batch.targets
        weights = None if self.weights is None or not model.training else self.weights.to(logits.device)
        smoothing = self.smoothing if model.training else 0.0
        if self.multilabel:
            smooth = targets * (1 - smoothing) + 0.5 * smoothing
            return {"loss": functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights)}
        return {"loss": functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)}

    def predict(self, model: nn.Module, batch: ClassifiedBatch) -> list[NDArray[np.float32]]:
        """Return the probabilities `(C,)` of each image."""
        logits = model(batch.images).float()
        probabilities = logits.sigmoid() if self.multilabel else logits.softmax(dim=1)
        return list(probabilities.cpu().numpy())

    def truths(self, batch: ClassifiedBatch) -> list[NDArray[np.bool_]]:
        """Return the annotated classes `(C,)` of each image."""
        return list(batch.targets.cpu().numpy() > 0)

    def metrics(
        self, predictions: Sequence[NDArray[np.float32]], truths: Sequence[NDArray[np.bool_]]
    ) -> dict[str, float]:
        """Return the scalars of specification H.1."""
        known = np.stack(truths)
        return classification_metrics(
            np.stack(predictions), known if self.multilabel else known.argmax(axis=1), multilabel=self.multilabel
        )
