"""A detector with its data and its yardstick, as the trainer wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from automl_images.core.types import Detections, Objects
from automl_images.data.mask_codes import encoded
from automl_images.evaluation.detection import detection_metrics, lowest_score
from automl_images.inference.found import Found, MaskGrids, merged
from automl_images.models.base import Detector, Prediction
from automl_images.tasks.objects_data import DetectionBatch, DetectionItem, TrainingSet, ValidationSet


class ObjectsLearner:
    """Implements `training.learner.Learner` for boxes.

    Args:
        model: the network.
        training_set, validation_set: see `objects_data`.
        unaugmented_training_set: the training images as validation samples.
        hyperparameters: resolved.
        primary_metric: larger is better.
    """

    def __init__(
        self,
        model: Detector,
        training_set: TrainingSet,
        validation_set: ValidationSet,
        unaugmented_training_set: ValidationSet,
        hyperparameters: Mapping[str, Any],
        primary_metric: str,
    ) -> None:
        self.model = model
        self.training_set = training_set
        self.validation_set = validation_set
        self.unaugmented_training_set = unaugmented_training_set
        self.hyperparameters = hyperparameters
        self.primary_metric = primary_metric
        model.set_score_threshold(lowest_score(hyperparameters["box_score_threshold"]))

    def collate(self, samples: Sequence[DetectionItem | None]) -> DetectionBatch | None:
        """Make a batch of the samples that could be read."""
        items = [sample for sample in samples if sample is not None]
        return DetectionBatch.of(items) if items else None

    def losses(self, model: nn.Module, batch: DetectionBatch) -> Mapping[str, Tensor]:
        """Return the network's losses."""
        return model(batch.images, batch.targets, batch.sizes)

    def predict(self, model: nn.Module, batch: DetectionBatch) -> list[Detections]:
        """Return the detections of each image in its own pixels; those of tiles are merged, masks are codes."""
        predictions = iter(model(batch.images, None, batch.sizes))
        overlap = self.hyperparameters["tile_predictions_nms_threshold"]
        threshold = self.hyperparameters.get("mask_pixel_score_threshold", 0.5)
        results = []
        for item in batch.items:
            parts = [_found(next(predictions)).placed(p.placement, p.left, p.top) for p in item.pieces]
            whole = item.pieces[0].placement
            results.append(encoded(merged(parts, overlap).pasted(whole.width, whole.height, threshold)))
        return results

    def truths(self, batch: DetectionBatch) -> list[Objects]:
        """Return the ground truth of each image in its own pixels, masks as codes."""
        return [encoded(item.truth) for item in batch.items]

    def metrics(self, predictions: Sequence[Detections], truths: Sequence[Objects]) -> dict[str, float]:
        """Return the metrics that `validation_metric_type` asks for."""
        return detection_metrics(
            predictions,
            truths,
            len(self.model.classes),
            iou_threshold=self.hyperparameters["validation_iou_threshold"],
            metric_type=self.hyperparameters["validation_metric_type"],
            operating_threshold=self.hyperparameters["box_score_threshold"],
        )


def _found(prediction: Prediction) -> Found:
    boxes, labels, scores = (prediction[name].float().cpu().numpy() for name in ("boxes", "labels", "scores"))
    detections = Detections(boxes, labels.astype(np.int64), scores)
    if "masks" not in prediction:
        return Found(detections)
    return Found(detections, MaskGrids(prediction["masks"].float().cpu().numpy(), boxes))
