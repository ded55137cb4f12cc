"""YOLOv5 behind the face of `Detector`.

Owns putting network, loss, decoding and suppression together, and the graph that is exported. The moving average and
the optimiser's groups are the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from automl_images.core.types import Preprocessing
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.yolov5.boxes import decode_boxes, to_corners
from automl_images.models.yolov5.loss import YOLOv5Loss
from automl_images.models.yolov5.multi_scale import MULTIPLE, RandomSize
from automl_images.models.yolov5.network import ANCHORS, SCALES, STRIDES, YOLOv5Network

MOST_DETECTIONS = 300


class YOLOv5Graph(nn.Module):
    """From images to one row per anchor of each cell: what is exported, and what detection in torch starts from.

    Reading a row (`inference/decoders.py` does it in numpy): keep rows with `row[4] > threshold`;
    `label = argmax(row[5:])`, `score = row[4] * row[5 + label]`; keep `score > threshold`; corners are
    `row[0:2] -+ row[2:4] / 2`; suppress per label at `nms_iou_threshold`; the best 300 remain.
    """

    anchors: Tensor

    def __init__(self, network: YOLOv5Network) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("anchors", torch.tensor(ANCHORS, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Predict.

        Args:
            images: `(B, 3, H, W)` float32 RGB in 0..1; H and W multiples of 32.

        Returns:
            `(B, N, 5 + classes)` float32: centre x, centre y, width, height in pixels of the input, objectness, class
            probabilities. N counts level (fine first), anchor, row, column: `3 HW (1/8^2 + 1/16^2 + 1/32^2)`.
        """
        maps = self.network(images)
        levels = [
            self._decode(raw.float(), level, stride)
            for level, (raw, stride) in enumerate(zip(maps, STRIDES, strict=True))
        ]
        return torch.cat(levels, dim=1)

    def _decode(self, raw: Tensor, level: int, stride: int) -> Tensor:
        rows = torch.arange(raw.shape[2], device=raw.device)
        columns = torch.arange(raw.shape[3], device=raw.device)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        anchors = self.anchors[level][:, None, None]
        boxes = decode_boxes(raw[..., :4], torch.stack([x, y], dim=-1), anchors, stride)
        return torch.cat([boxes, raw[..., 4:].sigmoid()], dim=-1).flatten(1, 3)


class YOLOv5Detector(Detector):
    """YOLOv5; see `Detector` for inputs and outputs.

    Args:
        graph: holds the network.
        loss: for as many classes as the network has.
        classes: sorted class names.
        image_size: side of the square input, pixels, a multiple of 32.
        score_threshold: objectness, and objectness times class probability, must be above it.
        iou_threshold: of two boxes of a class that overlap by more, the one with the lower score goes.
        random_size: resizes training batches; None: they stay as they are.
    """

    def __init__(
        self,
        graph: YOLOv5Graph,
        loss: YOLOv5Loss,
        classes: Sequence[str],
        image_size: int,
        score_threshold: float,
        iou_threshold: float,
        random_size: RandomSize | None = None,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.preprocessing = Preprocessing("letterbox", min_size=image_size, max_size=image_size)
        self.graph, self.loss, self.random_size = graph, loss, random_size
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """See `Detector.forward`; losses are `box`, `objectness` and `class`.

        `sizes` is not needed: letterboxed images fill the input. Boxes are not cut at its border.
        """
        if targets is None:
            return [self._detect(rows) for rows in self.graph(images)]
        if self.training and self.random_size is not None:
            images, targets = self.random_size(images, targets)
        losses: dict[str, Tensor] = self.loss(self.graph.network(images), targets)
        return losses

    def _detect(self, rows: Tensor) -> Prediction:
        """Read the `(N, 5 + classes)` predictions for one image; see `YOLOv5Graph`."""
        rows = rows[rows[:, 4] > self.score_threshold]
        probability, labels = rows[:, 5:].max(dim=1)
        scores = rows[:, 4] * probability
        good = scores > self.score_threshold
        boxes, labels, scores = to_corners(rows[good, :4]), labels[good], scores[good]
        kept = batched_nms(boxes, scores, labels, self.iou_threshold)[:MOST_DETECTIONS]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the ten groups of the backbone."""
        return [[group] for group in self.graph.network.backbone.groups]

    def export_spec(self) -> ExportSpec:
        """Return the graph up to the predictions of all anchors; suppression stays outside."""
        return ExportSpec(
            module=self.graph,
            inputs=("input",),
            outputs=("output",),
            dynamic=("batch", "height", "width"),
            decoder="yolov5",
            labels=self.classes,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self.score_threshold = threshold


def build_yolov5(classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> YOLOv5Detector:
    """Build YOLOv5 with random weights.

    Args:
        classes: sorted class names, at least one.
        hyperparameters: of `core/hyperparameters.py`, resolved; `image_size` is rounded up to a multiple of 32.
    """
    image_size = -(-hyperparameters["image_size"] // MULTIPLE) * MULTIPLE
    multi_scale = hyperparameters["multi_scale"]
    return YOLOv5Detector(
        YOLOv5Graph(YOLOv5Network(SCALES[hyperparameters["model_size"]], len(classes))),
        YOLOv5Loss(len(classes), hyperparameters["training_batch_size"]),
        classes,
        image_size,
        score_threshold=hyperparameters["box_score_threshold"],
        iou_threshold=hyperparameters["nms_iou_threshold"],
        random_size=RandomSize(image_size, hyperparameters["random_seed"]) if multi_scale else None,
    )
