"""RetinaNet on ResNet-50 behind the face of `Detector`: one stage, focal loss, levels P3 to P7.

Owns building, losses and the batched inference graph; heads and tensor names are torchvision's.
Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from automl_images.core.types import Preprocessing
from automl_images.models import batched
from automl_images.models.backbones import LayerGroups, resnet_groups, resnet_pyramid
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.rcnn_inference import LEAST_CANDIDATES, OUTPUTS, Padded, select, unpad
from automl_images.models.shorter_side import IMAGENET_MEAN, IMAGENET_STD, shorter_side


class RetinaNetDetector(Detector):
    """RetinaNet; see `Detector` for inputs and outputs."""

    def __init__(
        self, network: RetinaNet, groups: LayerGroups, classes: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        """Take over the parts of a torchvision network.

        Args:
            network: with `len(classes)` outputs.
            groups: layer groups of its backbone.
            classes: sorted class names.
            preprocessing: of the images it is given.
        """
        super().__init__()
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.backbone, self.head, self.anchor_generator = network.backbone, network.head, network.anchor_generator
        self._matcher = network.proposal_matcher
        self._score_threshold = network.score_thresh
        self._iou_threshold = network.nms_thresh
        self._detections = network.detections_per_img
        self._groups = groups

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """See `Detector.forward`."""
        return unpad(self._inference()(images), sizes) if targets is None else self._losses(images, targets)

    def _losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        features = list(self.backbone(images).values())
        canvas = ImageList(images, [(images.shape[2], images.shape[3])] * len(images))
        anchors = self.anchor_generator(canvas, features)
        matches = [self._match(target["boxes"], grid) for target, grid in zip(targets, anchors, strict=True)]
        return self.head.compute_loss(targets, self.head(features), anchors, matches)

    def _match(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Return for each anchor the index of its object, or a negative number for none or undecided."""
        if len(boxes) == 0:
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        return self._matcher(box_iou(boxes, anchors))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the backbone's groups."""
        return self._groups

    def export_spec(self) -> ExportSpec:
        """Return a graph with padded outputs; labels count from 0, there is no background."""
        return ExportSpec(
            module=self._inference(),
            inputs=("input",),
            outputs=OUTPUTS,
            dynamic=("batch", "height", "width"),
            decoder="padded_detections",
            labels=self.classes,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self._score_threshold = threshold

    def _inference(self) -> BatchedRetinaNet:
        cells = self.anchor_generator.cell_anchors
        limits = (self._score_threshold, self._iou_threshold, self._detections)
        return BatchedRetinaNet(self.backbone, self.head, cells, *limits)


class BatchedRetinaNet(nn.Module):
    """Detections of a batch as padded tensors; shares its modules with the detector it is made from."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        cells: Sequence[Tensor],
        score_threshold: float,
        iou_threshold: float,
        detections: int,
    ) -> None:
        """Take over modules and settings.

        Args:
            backbone, head: trained modules.
            cells: anchors of each level around the origin.
            score_threshold: detections at or below are dropped.
            iou_threshold: overlap from which the worse of two detections of a class is dropped.
            detections: K, most detections of an image.
        """
        super().__init__()
        self.backbone, self.head, self.cells = backbone, head, cells
        self.score_threshold, self.iou_threshold, self.detections = score_threshold, iou_threshold, detections

    def forward(self, images: Tensor) -> Padded:
        """Detect.

        Args:
            images: `(B, 3, H, W)` float32, preprocessed.

        Returns:
            Boxes `(B, K, 4)`, labels `(B, K)` counted from 0, scores `(B, K)` by falling score, and the number of
            detections `(B,)`; entries after it are padding with score -1.
        """
        levels = [self._level(images, *level) for level in zip(self.backbone(images).values(), self.cells, strict=True)]
        boxes, labels, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
        return select(boxes, labels, scores, self.iou_threshold, self.detections)

    def _level(self, images: Tensor, feature: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, labels and scores of the best candidates of a pyramid level."""
        output = self.head([feature])
        logits = output["cls_logits"].float()
        count, classes = torch.sym_min(logits.shape[1] * logits.shape[2], LEAST_CANDIDATES), logits.shape[2]
        scores, index = logits.sigmoid().flatten(1).topk(count, dim=1)
        place = index // classes
        anchors = batched.grid_anchors(cell, feature, images)[place]
        deltas = batched.take(output["bbox_regression"].float(), place)
        boxes = batched.clip(batched.decode(deltas, anchors, (1.0, 1.0, 1.0, 1.0)), images)
        return boxes, index % classes, batched.marked(scores > self.score_threshold, scores)


def build_retinanet(classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> RetinaNetDetector:
    """Build torchvision's RetinaNet on a ResNet-50 pyramid without P2, with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters.py`, resolved.
    """
    pyramid = resnet_pyramid("resnet50", levels=(2, 3, 4), extra=LastLevelP6P7(256, 256))
    network = RetinaNet(
        pyramid,
        len(classes),
        score_thresh=hyperparameters["box_score_threshold"],
        nms_thresh=hyperparameters["nms_iou_threshold"],
        detections_per_img=hyperparameters["box_detections_per_image"],
    )
    preprocessing = shorter_side(hyperparameters, IMAGENET_MEAN, IMAGENET_STD)
    return RetinaNetDetector(network, resnet_groups(pyramid.get_submodule("body")), classes, preprocessing)
