"""Mask R-CNN on a Swin transformer behind the face of `Detector`.

Owns the pyramid on torchvision's Swin-T, building and layer groups; the rest is `rcnn.py`'s. The input is a square of
a fixed side: with dynamic height and width the exporter takes many minutes over the shifted windows.
Source: Liu et al., "Swin Transformer", arXiv:2103.14030.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models import swin_t
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from automl_images.models.backbones import LayerGroups
from automl_images.models.base import ExportSpec
from automl_images.models.hub.config import STRIDE, square, square_side
from automl_images.models.rcnn import RCNNDetector, widen_masks

CHANNELS = (96, 192, 384, 768)
PYRAMID_CHANNELS = 256


class SwinPyramid(nn.Module):
    """torchvision's Swin-T with a pyramid; each stage's output is normalised first, as where it comes from.

    Attributes:
        out_channels: channels of every level.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Module()
        self.body.features = swin_t(weights=None).features
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in CHANNELS)
        self.fpn = FeaturePyramidNetwork(list(CHANNELS), PYRAMID_CHANNELS, LastLevelMaxPool())
        self.out_channels = PYRAMID_CHANNELS

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Turn `(B, 3, H, W)` into `{"0": finest, …, "pool": coarsest}`."""
        levels: OrderedDict[str, Tensor] = OrderedDict()
        values = images
        for norm, (reduction, stage) in zip(self.norms, self._stages(), strict=True):
            values = stage(reduction(values))  # (B, H, W, C)
            levels[str(len(levels))] = norm(values).permute(0, 3, 1, 2)
        return self.fpn(levels)

    def groups(self) -> LayerGroups:
        """Return the patch embedding and the four stages, each with the merging of patches before it."""
        (embedding, first), *others = self._stages()
        return [[embedding], [first], *([reduction, stage] for reduction, stage in others)]

    def _stages(self) -> list[tuple[nn.Module, nn.Module]]:
        features: Any = self.body.features
        return [(features[number], features[number + 1]) for number in range(0, len(features), 2)]


class SwinRCNNDetector(RCNNDetector):
    """Mask R-CNN whose graph takes squares of one size."""

    def export_spec(self) -> ExportSpec:
        """See `RCNNDetector.export_spec`; height and width are fixed."""
        return dataclasses.replace(super().export_spec(), dynamic=("batch",))


def build_swin(classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> SwinRCNNDetector:
    """Build torchvision's Mask R-CNN on a Swin-T pyramid with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved; `image_size` is the side of the square.
    """
    pyramid = SwinPyramid()
    network = MaskRCNN(
        pyramid,
        len(classes) + 1,
        box_score_thresh=hyperparameters["box_score_threshold"],
        box_nms_thresh=hyperparameters["nms_iou_threshold"],
        box_detections_per_img=hyperparameters["box_detections_per_image"],
    )
    widen_masks(network, hyperparameters)
    preprocessing = square("letterbox", square_side(hyperparameters, STRIDE), {})
    return SwinRCNNDetector(network, pyramid.groups(), classes, preprocessing)
