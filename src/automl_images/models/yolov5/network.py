"""The network of YOLOv5: a backbone of cross-stage-partial blocks, a path-aggregation neck and one linear head a level.

Owns layers, sizes and starting values; boxes, losses and suppression stand beside it. Written from the papers:
CSPNet (Wang et al., arXiv:1911.11929), spatial pyramid pooling (He et al., arXiv:1406.4729), PANet (Liu et al.,
arXiv:1803.01534), YOLOv4 (Bochkovskiy et al., arXiv:2004.10934), the prior of the last bias: focal loss (Lin et al.,
arXiv:1708.02002), and the numbers of the specification, sections C.1 and G. The activation is Hardswish, as in the
release that the specification names; it costs less than SiLU on a CPU and is one operator in ONNX.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
"""Pixels a cell of the three levels."""

ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Width and height in pixels of the anchors of each level."""

NUM_ANCHORS = len(ANCHORS[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """How deep and wide a network is, as multiples of `large`."""

    depth: float
    width: float

    def repeats(self, count: int) -> int:
        """Return how many blocks stand for `count` of the large network, at least 1."""
        return max(1, round(count * self.depth))

    def channels(self, count: int) -> int:
        """Return how many channels stand for `count` of the large network, a multiple of 8."""
        return math.ceil(count * self.width / 8) * 8


SCALES = {
    "small": Scale(0.33, 0.50),
    "medium": Scale(0.67, 0.75),
    "large": Scale(1.0, 1.0),
    "extra_large": Scale(1.33, 1.25),
}


class ConvNorm(nn.Sequential):
    """Convolution that keeps the size divided by `stride`, batch norm, activation.

    The running statistics follow at 0.1 a step, so that they are right after the few hundred steps that small sets
    give: at 0.03 a network that fits its training batch was still useless in eval mode after 60 steps.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.1),
            nn.Hardswish(inplace=True),
        )


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution, added to what came in unless `residual` is False."""

    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvNorm(channels, channels), ConvNorm(channels, channels, 3))
        self.residual = residual

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape `(B, channels, h, w)`."""
        changed: Tensor = self.layers(features)
        return features + changed if self.residual else changed


class CrossStage(nn.Module):
    """Cross-stage-partial block: half of the channels go through bottlenecks, half around them."""

    def __init__(self, inputs: int, outputs: int, repeats: int, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        bottlenecks = [Bottleneck(half, residual) for _ in range(repeats)]
        self.through = nn.Sequential(ConvNorm(inputs, half), *bottlenecks)
        self.around = ConvNorm(inputs, half)
        self.fuse = ConvNorm(2 * half, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Turn `(B, inputs, h, w)` into `(B, outputs, h, w)`."""
        fused: Tensor = self.fuse(torch.cat([self.through(features), self.around(features)], dim=1))
        return fused


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling over windows of 5, 9 and 13 cells.

    Windows of 9 and 13 are two and three poolings of 5 in a row: the maximum of maxima.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvNorm(channels, half)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.fuse = ConvNorm(4 * half, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape `(B, channels, h, w)`."""
        levels = [self.reduce(features)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        fused: Tensor = self.fuse(torch.cat(levels, dim=1))
        return fused


class Backbone(nn.Module):
    """Ten layer groups from pixels to strides 8, 16 and 32."""

    _outputs = (4, 6, 9)

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = (scale.channels(count) for count in (64, 128, 256, 512, 1024))
        self.groups = nn.ModuleList(
            [
                ConvNorm(3, c2, 6, 2),
                ConvNorm(c2, c4, 3, 2),
                CrossStage(c4, c4, scale.repeats(3)),
                ConvNorm(c4, c8, 3, 2),
                CrossStage(c8, c8, scale.repeats(9)),
                ConvNorm(c8, c16, 3, 2),
                CrossStage(c16, c16, scale.repeats(9)),
                ConvNorm(c16, c32, 3, 2),
                PyramidPooling(c32),
                CrossStage(c32, c32, scale.repeats(3), residual=False),
            ]
        )
        self.channels = (c8, c16, c32)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn `(B, 3, H, W)` into the maps of strides 8, 16 and 32."""
        features, found = images, []
        for number, group in enumerate(self.groups):
            features = group(features)
            if number in self._outputs:
                found.append(features)
        return found


class Neck(nn.Module):
    """Path aggregation: meaning flows from coarse to fine maps, then position from fine to coarse."""

    def __init__(self, channels: Sequence[int], repeats: int) -> None:
        super().__init__()
        c8, c16, c32 = channels
        self.reduce32 = ConvNorm(c32, c16)
        self.down16 = CrossStage(2 * c16, c16, repeats, residual=False)
        self.reduce16 = ConvNorm(c16, c8)
        self.down8 = CrossStage(2 * c8, c8, repeats, residual=False)
        self.shrink8 = ConvNorm(c8, c8, 3, 2)
        self.up16 = CrossStage(2 * c8, c16, repeats, residual=False)
        self.shrink16 = ConvNorm(c16, c16, 3, 2)
        self.up32 = CrossStage(2 * c16, c32, repeats, residual=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mix the maps of strides 8, 16 and 32; shapes stay."""
        fine, middle, coarse = maps
        coarse = self.reduce32(coarse)
        middle = self.reduce16(self.down16(torch.cat([_enlarge(coarse, middle), middle], dim=1)))
        fine = self.down8(torch.cat([_enlarge(middle, fine), fine], dim=1))
        middle = self.up16(torch.cat([self.shrink8(fine), middle], dim=1))
        coarse = self.up32(torch.cat([self.shrink16(middle), coarse], dim=1))
        return [fine, middle, coarse]


def _enlarge(features: Tensor, like: Tensor) -> Tensor:
    """Repeat cells until the map is as large as `like`; taking its size keeps exported shapes free."""
    return functional.interpolate(features, size=like.shape[-2:], mode="nearest")


class Head(nn.Module):
    """One linear layer a level: box, objectness and classes for each anchor of each cell."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.values = 5 + num_classes
        self.levels = nn.ModuleList([nn.Conv2d(count, NUM_ANCHORS * self.values, 1) for count in channels])
        for level, stride in zip(self.levels, STRIDES, strict=True):
            self._set_prior(level, stride, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Turn maps into `(B, anchors, h, w, 5 + classes)` logits: x, y, width, height, objectness, classes."""
        return [
            level(features).unflatten(1, (NUM_ANCHORS, self.values)).permute(0, 1, 3, 4, 2)
            for level, features in zip(self.levels, maps, strict=True)
        ]

    @torch.no_grad()
    def _set_prior(self, level: nn.Module, stride: int, num_classes: int) -> None:
        """Start with the rates at which objects and classes occur: 8 objects on 640 x 640 pixels."""
        bias = level.get_parameter("bias").view(NUM_ANCHORS, self.values)
        bias[:, 4] = math.log(8 / (640 / stride) ** 2)
        bias[:, 5:] = math.log(0.6 / (num_classes - 0.99))
        if num_classes == 1:  # no loss ever reaches a single class: its probability stays the same everywhere
            level.get_parameter("weight").view(NUM_ANCHORS, self.values, -1)[:, 5:] = 0


class YOLOv5Network(nn.Module):
    """Backbone, neck and head."""

    def __init__(self, scale: Scale, num_classes: int) -> None:
        """Build a network with random weights.

        Args:
            scale: one of `SCALES`, or another.
            num_classes: at least 1.
        """
        super().__init__()
        self.backbone = Backbone(scale)
        self.neck = Neck(self.backbone.channels, scale.repeats(3))
        self.head = Head(self.backbone.channels, num_classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return raw outputs.

        Args:
            images: `(B, 3, H, W)` RGB in 0..1; H and W multiples of 32.

        Returns:
            For strides 8, 16, 32: `(B, 3, H / stride, W / stride, 5 + classes)` logits.
        """
        maps: list[Tensor] = self.head(self.neck(self.backbone(images)))
        return maps
