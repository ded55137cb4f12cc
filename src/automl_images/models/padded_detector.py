"""What our own detectors share: one graph from images to padded detections, for evaluation and ONNX alike.

Owns thresholds, candidates and export; `yolof.py`, `vfnet.py` and `sparse_rcnn.py` own networks, matching and losses.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automl_images.models import batched
from automl_images.models.backbones import LayerGroups
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.rcnn_inference import LEAST_CANDIDATES, OUTPUTS, Padded, unpad
from automl_images.models.shorter_side import IMAGENET_MEAN, IMAGENET_STD, shorter_side

CLASS_PRIOR = 0.01
"""Probability that a fresh network gives each class everywhere (Lin et al., arXiv:1708.02002, section 3.3)."""


class PaddedDetector(Detector):
    """A network on an ImageNet backbone without a background class; see `Detector` for inputs and outputs."""

    def __init__(self, classes: Sequence[str], hyperparameters: Mapping[str, Any], groups: LayerGroups) -> None:
        """Take settings.

        Args:
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
            groups: layer groups of the backbone.
        """
        super().__init__()
        self.classes = tuple(classes)
        self.preprocessing = shorter_side(hyperparameters, IMAGENET_MEAN, IMAGENET_STD)
        self.score_threshold: float = hyperparameters["box_score_threshold"]
        self.detections: int = hyperparameters["box_detections_per_image"]
        self._groups = groups

    @abc.abstractmethod
    def detect(self, images: Tensor) -> Padded:
        """Return the padded detections of `(B, 3, H, W)`, labels counted from 0, on the canvas with its padding."""

    @abc.abstractmethod
    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return scalar losses, each with a gradient to its weights even where there is no object."""

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """See `Detector.forward`."""
        return unpad(self.detect(images), sizes) if targets is None else self.losses(images, targets)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the backbone's groups."""
        return self._groups

    def export_spec(self) -> ExportSpec:
        """Return a graph with padded outputs; labels count from 0, there is no background."""
        return ExportSpec(
            module=_Graph(self),
            inputs=("input",),
            outputs=OUTPUTS,
            dynamic=("batch", "height", "width"),
            decoder="padded_detections",
            labels=self.classes,
            score_threshold=self.score_threshold,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self.score_threshold = threshold

    def candidates(self, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the thousand best pairs of place and class of each image.

        Args:
            logits: `(B, N, classes)` float32.
            boxes: `(B, N, 4)`.

        Returns:
            Boxes `(B, P, 4)`, labels `(B, P)`, scores `(B, P)` falling, -1 at or below the threshold.
        """
        places, classes = logits.shape[1], logits.shape[2]
        count = torch.sym_min(places * classes, LEAST_CANDIDATES)
        scores, index = logits.sigmoid().flatten(1).topk(count, dim=1)
        scores = batched.marked(scores > self.score_threshold, scores)
        return batched.take(boxes, index // classes), index % classes, scores


def start(layer: nn.Module, deviation: float, probability: float = 0.5) -> None:
    """Give an output layer normal weights of a small deviation and the bias whose sigmoid is `probability`."""
    nn.init.normal_(layer.get_parameter("weight"), std=deviation)
    nn.init.constant_(layer.get_parameter("bias"), math.log(probability / (1 - probability)))


class _Graph(nn.Module):
    """A detector whose call always detects; shares its weights."""

    def __init__(self, detector: PaddedDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Padded:
        return self.detector.detect(images)
