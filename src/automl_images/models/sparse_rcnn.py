"""Sparse R-CNN: a few hundred learnt proposals, refined in six stages, each matched with at most one object.

Owns the network and its inference; matching and losses stand in `set_matching.py`. Written from Sun et al.,
"Sparse R-CNN: End-to-End Object Detection with Learnable Proposals", arXiv:2011.12450. There is no suppression of
overlapping boxes. Proposals are shares of the padded canvas, so that torch and ONNX agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from automl_images.models import batched
from automl_images.models.backbones import resnet_groups, resnet_pyramid
from automl_images.models.base import Target
from automl_images.models.padded_detector import CLASS_PRIOR, PaddedDetector, start
from automl_images.models.rcnn_inference import Padded, pool_regions
from automl_images.models.set_matching import set_losses

CHANNELS = 256
INNER = 64
HEADS = 8
HIDDEN = 2048
POOLED = 7
LEVELS = ("0", "1", "2", "3")
DELTA_WEIGHTS = (2.0, 2.0, 1.0, 1.0)


class SparseRCNNDetector(PaddedDetector):
    """Sparse R-CNN; see `Detector` for inputs and outputs."""

    def __init__(
        self,
        pyramid: nn.Module,
        classes: Sequence[str],
        hyperparameters: Mapping[str, Any],
        proposals: int,
        stages: int,
    ) -> None:
        """Build proposals and stages with random weights.

        Args:
            pyramid: levels of stride 4 to 32 under the names "0" to "3", 256 channels.
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
            proposals: N.
            stages: of refinement.
        """
        super().__init__(classes, hyperparameters, resnet_groups(pyramid.get_submodule("body")))
        self.backbone = pyramid
        self.proposals = nn.Embedding(proposals, 4)
        self.features = nn.Embedding(proposals, CHANNELS)
        self.proposals.weight.data[:, :2] = 0.5  # centre and size: at first each is the whole image
        self.proposals.weight.data[:, 2:] = 1.0
        self.stages = nn.ModuleList(Stage() for _ in range(stages))
        self.classifiers = nn.ModuleList(nn.Linear(CHANNELS, len(classes)) for _ in range(stages))
        for classifier in self.classifiers:
            start(classifier, 0.01, CLASS_PRIOR)
        self.pool = MultiScaleRoIAlign(list(LEVELS), POOLED, sampling_ratio=2)
        self.pool.scales = [2.0**-level for level in range(2, 6)]
        self.pool.map_levels = initLevelMapper(2, 5)

    def _run(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return logits `(B, N, classes)` and boxes `(B, N, 4)`, float32, of each stage."""
        levels = self.backbone(images)
        boxes = _corners(self.proposals.weight.float() * batched.extent(images)).expand(images.shape[0], -1, -1)
        features = self.features.weight.expand(images.shape[0], -1, -1)
        found = []
        for stage, classifier in zip(self.stages, self.classifiers, strict=True):
            regions = pool_regions(levels, boxes, images, self.pool)
            features, deltas, evidence = stage(features, regions)
            boxes = batched.decode(deltas.float(), boxes, DELTA_WEIGHTS)
            found.append((classifier(evidence).float(), boxes))
            boxes = boxes.detach()
        return found

    def detect(self, images: Tensor) -> Padded:
        """See `PaddedDetector.detect`."""
        logits, boxes = self._run(images)[-1]
        boxes, labels, scores = self.candidates(logits, batched.clip(boxes, images))
        scores, index = batched.best(scores, self.detections)
        number = (scores > batched.INVALID).sum(dim=1)
        return batched.take(boxes, index), batched.take(labels, index), scores, number

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return classification, L1 and GIoU losses, each the mean over the stages.

        The paper sums them; the mean is within the range of the other networks' losses.
        """
        size = batched.extent(images)
        parts = [set_losses(logits, boxes, targets, size) for logits, boxes in self._run(images)]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


class Stage(nn.Module):
    """One refinement: proposals attend to each other, then each to its own region, then give a better box."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.interaction = DynamicInteraction()
        self.feedforward = nn.Sequential(nn.Linear(CHANNELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CHANNELS))
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(3))
        self.class_branch = _branch(1)
        self.box_branch = _branch(3)
        self.deltas = nn.Linear(CHANNELS, 4)
        start(self.deltas, 0.001)

    def forward(self, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refine.

        Args:
            features: `(B, N, 256)` of the proposals.
            regions: `(B * N, 256, 7, 7)` what lies in their boxes.

        Returns:
            Features `(B, N, 256)`, offsets of the boxes `(B, N, 4)`, and what to classify `(B, N, 256)`.
        """
        features = self.norms[0](features + self.attention(features))
        features = self.norms[1](features + self.interaction(features, regions))
        features = self.norms[2](features + self.feedforward(features))
        return features, self.deltas(self.box_branch(features)), self.class_branch(features)


def _branch(depth: int) -> nn.Sequential:
    layers = [(nn.Linear(CHANNELS, CHANNELS, bias=False), nn.LayerNorm(CHANNELS), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*(layer for group in layers for layer in group))


class Attention(nn.Module):
    """Self-attention with eight heads, of operations that export (torch's own has a fast path that does not)."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.outside = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, features: Tensor) -> Tensor:
        """Mix `(B, N, 256)` along N."""
        query, key, value = self.inside(features).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.outside(mixed.transpose(1, 2).flatten(2))


class DynamicInteraction(nn.Module):
    """Two 1x1 convolutions over a region whose weights its own proposal gives (section 3.2, algorithm 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.parameters_of = nn.Linear(CHANNELS, 2 * CHANNELS * INNER)
        self.norms = nn.ModuleList([nn.LayerNorm(INNER), nn.LayerNorm(CHANNELS)])
        self.project = nn.Linear(CHANNELS * POOLED**2, CHANNELS)
        self.last_norm = nn.LayerNorm(CHANNELS)

    def forward(self, features: Tensor, regions: Tensor) -> Tensor:
        """Turn features `(B, N, 256)` and regions `(B * N, 256, 7, 7)` into features `(B, N, 256)`."""
        first, second = self.parameters_of(features).flatten(0, 1).chunk(2, dim=-1)
        region = regions.flatten(2).transpose(1, 2)
        region = self.norms[0](torch.bmm(region, first.unflatten(-1, (CHANNELS, INNER)))).relu()
        region = self.norms[1](torch.bmm(region, second.unflatten(-1, (INNER, CHANNELS)))).relu()
        return self.last_norm(self.project(region.flatten(1))).relu().reshape(features.shape)


def _corners(boxes: Tensor) -> Tensor:
    """Turn `(…, 4)` centre and size into xyxy."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def build_sparse_rcnn(
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    backbone: str = "resnet50",
    proposals: int = 300,
    stages: int = 6,
) -> SparseRCNNDetector:
    """Build Sparse R-CNN on a torchvision ResNet pyramid with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved.
        backbone: `resnet18` … `resnet152`.
        proposals: number of learnt proposals, the most objects of an image.
        stages: of refinement.
    """
    return SparseRCNNDetector(resnet_pyramid(backbone), classes, hyperparameters, proposals, stages)
