"""What the outputs of a graph mean: one function a kind of output, from arrays to detections in input pixels.

Owns the reading of outputs and NMS where the graph has none. Undoing the resize, thresholds for single classes and
the merging of tiles are the predictor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.errors import ModelError
from automl_images.core.registry import Registry
from automl_images.core.types import Detections
from automl_images.inference.found import Found, MaskGrids
from automl_images.inference.metadata import DetectorMetadata
from automl_images.inference.nms import suppress

Outputs = Sequence[NDArray[Any]]
Decoder = Callable[[Outputs, DetectorMetadata, float], list[Found]]
"""Takes a batch's outputs, the metadata and the score above which detections are wanted; one `Found` an image."""

DECODERS: Registry[Decoder] = Registry("decoder")

ALIGNED = frozenset({"yolov5"})
"""Decoders of outputs `(B, N, 4 + …)` in a fixed order, boxes first: two runs are compared number by number."""


@DECODERS.register("padded_detections")
def padded_detections(outputs: Outputs, metadata: DetectorMetadata, score_threshold: float) -> list[Found]:
    """Read final detections that are padded to a fixed number an image (R-CNN, RetinaNet).

    Args:
        outputs: boxes `(B, K, 4)` xyxy in input pixels, labels `(B, K)` in the order of labels.json, scores `(B, K)`
            falling, number of valid ones `(B,)`, and perhaps masks `(B, K, M, M)` on grids over the boxes.
        metadata: says whether label 0 is the background.
        score_threshold: only higher scores are wanted; what is below the graph's own threshold is not there.
    """
    boxes, labels, scores, counts, *masks = outputs
    found = []
    for index, count in enumerate(counts):
        image = Detections(
            _finite(boxes[index, :count]).astype(np.float32),
            labels[index, :count].astype(np.int64) - metadata.label_offset,
            _finite(scores[index, :count]).astype(np.float32),
        )
        grids = MaskGrids(_finite(masks[0][index, :count]).astype(np.float32), image.boxes) if masks else None
        wanted = Found(image, grids).take(image.scores > score_threshold)
        found.append(_best_first(wanted, metadata.box_detections_per_image))
    return found


@DECODERS.register("yolov5")
def yolov5(outputs: Outputs, metadata: DetectorMetadata, score_threshold: float) -> list[Found]:
    """Read YOLOv5's predictions (specification G): score = objectness x class probability, best class, NMS.

    Args:
        outputs: one array `(B, N, 5 + classes)`: centre x, centre y, width, height in input pixels, objectness, class
            probabilities.
        metadata: gives `nms_iou_threshold` and `box_detections_per_image`.
        score_threshold: only higher scores are wanted.
    """
    return [Found(_yolov5_image(_finite(image), metadata, score_threshold)) for image in outputs[0]]


def _yolov5_image(predictions: NDArray[Any], metadata: DetectorMetadata, score_threshold: float) -> Detections:
    predictions = predictions[predictions[:, 4] > score_threshold]
    labels = predictions[:, 5:].argmax(axis=1).astype(np.int64)
    scores = predictions[:, 4] * predictions[np.arange(len(labels)), 5 + labels]
    centres, halves = predictions[:, 0:2], predictions[:, 2:4] / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    found = Detections(boxes.astype(np.float32), labels - metadata.label_offset, scores.astype(np.float32))
    found = found.take(found.scores > score_threshold)
    return found.take(
        suppress(found.boxes, found.scores, found.labels, metadata.nms_iou_threshold, metadata.box_detections_per_image)
    )


def _best_first(found: Found, limit: int) -> Found:
    return found.take(np.argsort(-found.detections.scores, kind="stable")[:limit])


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise ModelError("The network gave values that are not finite numbers. Its weights are damaged or diverged.")
    return values
