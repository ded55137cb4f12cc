"""VarifocalNet: dense points that score a class by the overlap they expect, with boxes refined from nine star points.

Owns the network, losses and inference; which point learns what is `atss.py`'s. Written from Zhang et al.,
"VarifocalNet: An IoU-aware Dense Object Detector", arXiv:2008.13367. The star-shaped deformable convolution is bilinear
sampling and a 1x1 convolution, which is the same and exports; the backbone has ordinary convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import one_hot
from torchvision.ops import generalized_box_iou_loss
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from automl_images.models import batched
from automl_images.models.atss import adaptive_matches
from automl_images.models.backbones import resnet_groups, resnet_pyramid
from automl_images.models.base import Target
from automl_images.models.padded_detector import CLASS_PRIOR, PaddedDetector, start
from automl_images.models.rcnn_inference import Padded, select

CHANNELS = 256
DEPTH = 3
STRIDES = (8, 16, 32, 64, 128)
ANCHOR_SIDE = 8
"""Side of a level's anchor, in strides; an untrained network predicts just this box."""

LARGEST_LOG_SCALE = 4.0
INITIAL_WEIGHT, REFINED_WEIGHT = 1.5, 2.0
ALPHA, GAMMA = 0.75, 2.0

_STAR = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))
"""Where the nine points stand on a box around the place: -1 left or top border, 0 the place, 1 right or bottom."""


class VFNetDetector(PaddedDetector):
    """VarifocalNet; see `Detector` for inputs and outputs."""

    def __init__(self, pyramid: nn.Module, classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> None:
        """Build the head with random weights.

        Args:
            pyramid: levels of stride 8 to 128, 256 channels.
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
        """
        super().__init__(classes, hyperparameters, resnet_groups(pyramid.get_submodule("body")))
        self.iou_threshold: float = hyperparameters["nms_iou_threshold"]
        self.backbone = pyramid
        self.head = Head(len(classes))

    def _outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return logits `(B, N, classes)`, first and refined boxes `(B, N, 4)`, and the places of each level."""
        features = list(self.backbone(images).values())
        places = [points(feature, stride) for feature, stride in zip(features, STRIDES, strict=True)]
        levels = zip(*self.head(features), strict=True)
        logits, first, refined = (torch.cat([_flat(level) for level in kind], dim=1) for kind in levels)
        where = torch.cat(places)
        return logits, around(where, first), around(where, refined), places

    def detect(self, images: Tensor) -> Padded:
        """See `PaddedDetector.detect`."""
        logits, _, boxes, _ = self._outputs(images)
        best = self.candidates(logits, batched.clip(boxes, images))
        return select(*best, self.iou_threshold, self.detections)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the varifocal loss of the classes and the GIoU losses of first and refined boxes.

        A box counts as much as it overlaps its object (section 3.5), divided by the sum of these weights.
        """
        logits, first, refined, places = self._outputs(images)
        half = [ANCHOR_SIDE * stride / 2 for stride in STRIDES]
        anchors = [torch.cat([p - h, p + h], dim=-1) for p, h in zip(places, half, strict=True)]
        matches = torch.stack([adaptive_matches(target["boxes"], anchors) for target in targets])
        good = matches >= 0
        pairs = list(zip(targets, matches, strict=True))
        objects = torch.cat([target["boxes"][match[match >= 0]] for target, match in pairs]).to(refined)
        labels = torch.cat([target["labels"][match[match >= 0]] for target, match in pairs])
        first, refined = first[good], refined[good]
        quality = [_overlap(boxes.detach(), objects) for boxes in (first, refined)]
        wanted = torch.zeros_like(logits)
        wanted[good] = one_hot(labels, logits.shape[2]) * quality[1][:, None]
        return {
            "classification": varifocal_loss(logits, wanted).sum() / good.sum().clamp(min=1),
            "first_box": INITIAL_WEIGHT * _weighted_loss(first, objects, quality[0]),
            "refined_box": REFINED_WEIGHT * _weighted_loss(refined, objects, quality[1]),
        }


def _flat(output: Tensor) -> Tensor:
    """Turn `(B, C, h, w)` into `(B, h * w, C)`."""
    return output.flatten(2).transpose(1, 2)


def _overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of pairs of boxes `(N, 4)`: `(N,)`."""
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=-1) for b in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def _weighted_loss(boxes: Tensor, objects: Tensor, weights: Tensor) -> Tensor:
    losses = generalized_box_iou_loss(boxes, objects, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)


def varifocal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of each number (equation 2): objects weigh as much as their overlap, others by the score.

    Args:
        logits: any shape, float32.
        wanted: the same shape: overlap with the object at its class, 0 elsewhere.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weight = torch.where(wanted > 0, wanted, ALPHA * logits.sigmoid().pow(GAMMA))
    return entropy * weight


def points(feature: Tensor, stride: int) -> Tensor:
    """Return the centres of the cells of `(B, C, h, w)` in pixels, x and y: `(h * w, 2)`."""
    rows = torch.arange(feature.shape[2], device=feature.device, dtype=torch.float32)
    columns = torch.arange(feature.shape[3], device=feature.device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return ((torch.stack([x, y], dim=-1) + 0.5) * stride).reshape(-1, 2)


def around(places: Tensor, distances: Tensor) -> Tensor:
    """Return boxes `(B, N, 4)` xyxy around places `(N, 2)` from distances `(B, N, 4)` to left, top, right, bottom."""
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], dim=-1)


class Head(nn.Module):
    """The head that all levels share (figure 2)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.class_branch, self.box_branch = _branch(), _branch()
        self.first = nn.Conv2d(CHANNELS, 4, 3, padding=1)
        self.star_box, self.star_class = StarConvolution(), StarConvolution()
        self.refine = nn.Conv2d(CHANNELS, 4, 3, padding=1)
        self.class_logits = nn.Conv2d(CHANNELS, classes, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(2, len(STRIDES)))
        start(self.first, 0.001)
        start(self.refine, 0.001)
        start(self.class_logits, 0.01, CLASS_PRIOR)

    def forward(self, features: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return of each level logits `(B, classes, h, w)` and two distances `(B, 4, h, w)` in pixels, float32."""
        return [self._level(number, feature) for number, feature in enumerate(features)]

    def _level(self, number: int, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, classes, stride = self.box_branch(feature), self.class_branch(feature), STRIDES[number]
        factor = _factor(self.first(boxes), self.scales[0, number])
        first = factor * (ANCHOR_SIDE / 2)  # in cells
        grid = star_grid(first.detach())
        factor = _factor(self.refine(self.star_box(boxes, grid)), self.scales[1, number])
        refined = first.detach() * factor
        return self.class_logits(self.star_class(classes, grid)).float(), first * stride, refined * stride


def _factor(output: Tensor, scale: Tensor) -> Tensor:
    return (output.float() * scale).clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE).exp()


def _branch() -> nn.Sequential:
    layers = [
        (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False), nn.GroupNorm(32, CHANNELS), nn.ReLU())
        for _ in range(DEPTH)
    ]
    return nn.Sequential(*(layer for group in layers for layer in group))


def star_grid(distances: Tensor) -> Tensor:
    """Return where the nine points of each place lie, as `grid_sample` counts (-1..1 from border to border).

    Args:
        distances: `(B, 4, h, w)` to left, top, right, bottom, in cells.

    Returns:
        `(B, 9 * h, w, 2)`.
    """
    height, width = distances.shape[2], distances.shape[3]
    left, top, right, bottom = distances.unbind(dim=1)
    rows = torch.arange(height, device=distances.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=distances.device, dtype=torch.float32)[None]
    across, down = {-1: -left, 0: torch.zeros_like(left), 1: right}, {-1: -top, 0: torch.zeros_like(top), 1: bottom}
    x = torch.cat([columns + across[side] for side, _ in _STAR], dim=1)
    y = torch.cat([rows + down[side] for _, side in _STAR], dim=1)
    return torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)


class StarConvolution(nn.Module):
    """A 3x3 convolution whose nine taps stand at the points of a grid, with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(9 * CHANNELS, CHANNELS, 1)

    def forward(self, feature: Tensor, grid: Tensor) -> Tensor:
        """Turn `(B, 256, h, w)` and the grid of `star_grid` into `(B, 256, h, w)`; outside the map lies 0."""
        taps = functional.grid_sample(feature.float(), grid, padding_mode="zeros", align_corners=False)
        return self.mix(taps.unflatten(2, (9, -1)).flatten(1, 2)).relu()


def build_vfnet(classes: Sequence[str], hyperparameters: Mapping[str, Any], backbone: str) -> VFNetDetector:
    """Build VarifocalNet on a torchvision ResNet or ResNeXt pyramid with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved.
        backbone: `resnet18` … `resnet152` or `resnext101_64x4d`.
    """
    pyramid = resnet_pyramid(backbone, levels=(2, 3, 4), extra=LastLevelP6P7(CHANNELS, CHANNELS))
    return VFNetDetector(pyramid, classes, hyperparameters)
