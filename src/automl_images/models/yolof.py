"""YOLOF: one feature map of stride 32, seen at many scales by a dilated encoder.

Owns the network, uniform matching and losses; written from Chen et al., "You Only Look One-level Feature",
arXiv:2103.09460. Unlike there, encoder and decoder have group norm in place of batch norm, which needs larger batches
than a small data set's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torchvision.ops import box_convert, box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from automl_images.models import batched
from automl_images.models.backbones import ResNetTop, resnet_groups
from automl_images.models.base import Target
from automl_images.models.padded_detector import CLASS_PRIOR, PaddedDetector, start
from automl_images.models.rcnn_inference import Padded, select

STRIDE = 32
ANCHOR_SIDES = (32, 64, 128, 256, 512)
DILATIONS = (2, 4, 6, 8)
CHANNELS = 512
MATCHES = 4
POSITIVE_OVERLAP = 0.15
NEGATIVE_OVERLAP = 0.7
NO_OBJECT, UNDECIDED = -1, -2


class YOLOFDetector(PaddedDetector):
    """YOLOF; see `Detector` for inputs and outputs."""

    def __init__(self, backbone: ResNetTop, classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> None:
        """Build encoder and decoder with random weights.

        Args:
            backbone: with random weights.
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
        """
        super().__init__(classes, hyperparameters, resnet_groups(backbone.body))
        self.iou_threshold: float = hyperparameters["nms_iou_threshold"]
        self.backbone = backbone
        self.encoder = dilated_encoder(backbone.out_channels)
        self.decoder = Decoder(len(classes))
        half = torch.tensor(ANCHOR_SIDES, dtype=torch.float32)[:, None] / 2
        self._cell = STRIDE / 2 + half * torch.tensor([-1.0, -1.0, 1.0, 1.0])

    def _outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits `(B, N, classes)`, boxes `(B, N, 4)` not clipped, and anchors `(N, 4)`."""
        feature = self.encoder(self.backbone(images))
        logits, deltas = self.decoder(feature)
        anchors = batched.grid_anchors(self._cell, feature, images)
        return logits, decode(deltas, anchors), anchors

    def detect(self, images: Tensor) -> Padded:
        """See `PaddedDetector.detect`."""
        logits, boxes, _ = self._outputs(images)
        best = self.candidates(logits, batched.clip(boxes, images))
        return select(*best, self.iou_threshold, self.detections)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the focal loss of the classes and the GIoU loss of the boxes, each by the number of matches."""
        logits, boxes, anchors = self._outputs(images)
        matches = torch.stack([uniform_matches(target["boxes"], anchors) for target in targets])
        positive = matches >= 0
        wanted = torch.zeros_like(logits)
        for row, target, match, good in zip(wanted, targets, matches, positive, strict=True):
            row[good] = one_hot(target["labels"][match[good]], len(self.classes)).to(row)
        objects = [target["boxes"][match[match >= 0]] for target, match in zip(targets, matches, strict=True)]
        focal = sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2.0).sum(dim=-1)
        overlap = generalized_box_iou_loss(boxes[positive], torch.cat(objects).to(boxes), reduction="sum")
        count = positive.sum().clamp(min=1)
        return {"classification": focal[matches != UNDECIDED].sum() / count, "box": overlap / count}


def _convolution(inside: int, outside: int, side: int, dilation: int = 1, activation: bool = True) -> nn.Sequential:
    padding = dilation * (side // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, side, padding=padding, dilation=dilation, bias=False),
        nn.GroupNorm(32, outside),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if activation else []))


class DilatedBlock(nn.Module):
    """A residual bottleneck that looks `dilation` cells far."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        inner = channels // 4
        self.layers = nn.Sequential(
            _convolution(channels, inner, 1), _convolution(inner, inner, 3, dilation), _convolution(inner, channels, 1)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Add to `(B, C, h, w)`."""
        return feature + self.layers(feature)


def dilated_encoder(channels: int) -> nn.Sequential:
    """Return the encoder (figure 5): a projection of `channels` to 512, then residual blocks of growing dilation."""
    return nn.Sequential(
        _convolution(channels, CHANNELS, 1, activation=False),
        _convolution(CHANNELS, CHANNELS, 3, activation=False),
        *(DilatedBlock(CHANNELS, dilation) for dilation in DILATIONS),
    )


class Decoder(nn.Module):
    """Two branches: classes; boxes with an implicit objectness that is learnt through the classes alone."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        anchors = len(ANCHOR_SIDES)
        self.class_branch = nn.Sequential(*(_convolution(CHANNELS, CHANNELS, 3) for _ in range(2)))
        self.box_branch = nn.Sequential(*(_convolution(CHANNELS, CHANNELS, 3) for _ in range(4)))
        self.class_logits = nn.Conv2d(CHANNELS, anchors * classes, 3, padding=1)
        self.deltas = nn.Conv2d(CHANNELS, anchors * 4, 3, padding=1)
        self.objectness = nn.Conv2d(CHANNELS, anchors, 3, padding=1)
        start(self.class_logits, 0.01, CLASS_PRIOR)
        start(self.objectness, 0.01)
        start(self.deltas, 0.001)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Turn `(B, 512, h, w)` into logits `(B, N, classes)` and deltas `(B, N, 4)`, float32."""
        anchors, boxes = len(ANCHOR_SIDES), self.box_branch(feature)
        classes = self.class_logits.out_channels // anchors
        logits = batched.flatten_head(self.class_logits(self.class_branch(feature)), classes)
        objectness = batched.flatten_head(self.objectness(boxes), 1)
        return joint_logits(logits, objectness), batched.flatten_head(self.deltas(boxes), 4)


def joint_logits(logits: Tensor, objectness: Tensor) -> Tensor:
    """Return the logit of `sigmoid(logits) * sigmoid(objectness)`: `a + b - log(1 + e^a + e^b)`."""
    objectness = objectness.expand_as(logits)
    largest = torch.maximum(logits, objectness).clamp(min=0)
    rest = torch.exp(-largest) + torch.exp(logits - largest) + torch.exp(objectness - largest)
    return logits + objectness - largest - torch.log(rest)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Apply offsets to anchors; a centre moves by less than one stride (section 4.3).

    The bound is a hyperbolic tangent, not a cut: a centre at the bound can still learn its way back.

    Args:
        deltas: `(B, N, 4)` dx, dy in sides, log dw, log dh.
        anchors: `(N, 4)` xyxy, square.

    Returns:
        `(B, N, 4)` xyxy.
    """
    reach = STRIDE / (anchors[:, 2:] - anchors[:, :2])
    shift = reach * torch.tanh(deltas[..., :2] / reach)
    return batched.decode(torch.cat([shift, deltas[..., 2:]], dim=-1), anchors, (1.0, 1.0, 1.0, 1.0))


def uniform_matches(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Match each object with its four nearest anchors, so that large objects get no more than small ones.

    Nearest by the sum of the differences of centre and size (section 4.2). An anchor that is near two objects belongs
    to the nearer. Matches that overlap by less than 0.15 and others that overlap by more than 0.7 are undecided.

    Args:
        boxes: `(M, 4)` xyxy objects; anchors: `(N, 4)` xyxy.

    Returns:
        `(N,)` int64: index of the object, -1 for none, -2 for undecided.
    """
    matches = torch.full((len(anchors),), NO_OBJECT, dtype=torch.int64, device=anchors.device)
    if len(boxes) == 0:
        return matches
    overlap = box_iou(boxes, anchors)
    distance = torch.cdist(box_convert(boxes, "xyxy", "cxcywh"), box_convert(anchors, "xyxy", "cxcywh"), p=1.0)
    near = distance.topk(min(MATCHES, len(anchors)), dim=1, largest=False).indices
    taken = torch.full_like(distance, math.inf).scatter(1, near, distance.gather(1, near))
    least, owner = taken.min(dim=0)
    positive = least.isfinite()
    own = overlap.gather(0, owner[None])[0]
    matches[positive] = torch.where(own >= POSITIVE_OVERLAP, owner, UNDECIDED)[positive]
    matches[~positive & (overlap.amax(dim=0) > NEGATIVE_OVERLAP)] = UNDECIDED
    return matches


def build_yolof(
    classes: Sequence[str], hyperparameters: Mapping[str, Any], backbone: str = "resnet50"
) -> YOLOFDetector:
    """Build YOLOF on a torchvision ResNet with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved.
        backbone: `resnet18` … `resnet152`.
    """
    return YOLOFDetector(ResNetTop(backbone), classes, hyperparameters)
