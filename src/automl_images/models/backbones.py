"""Feature pyramids: an image becomes maps of falling resolution with equal channels.

Owns where features are taken and which layer groups a backbone has; weights are loaded by `weights.py`.
Attribute names (`body`, `fpn`) and so the names of tensors are torchvision's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

LayerGroups = list[list[nn.Module]]

CHANNELS = 256
"""Of every level of a ResNet's pyramid."""


def resnet_pyramid(name: str, levels: Sequence[int] = (1, 2, 3, 4), extra: ExtraFPNBlock | None = None) -> nn.Module:
    """Build a torchvision ResNet with a pyramid of 256 channels, random weights and trainable batch norm.

    Each residual block begins as identity (Goyal et al., arXiv:1706.02677, section 5.1): else the features of random
    weights grow with depth, and the first losses of RetinaNet are thirty times as large.

    Args:
        name: `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152` or `resnext101_64x4d`.
        levels: stages that feed the pyramid; stage i has stride 2 ** (i + 1).
        extra: coarser levels on top; None: one by pooling.
    """
    body = get_model(name, weights=None, zero_init_residual=True)
    stages = {f"layer{level}": str(number) for number, level in enumerate(levels)}
    channels = [body.fc.in_features // 2 ** (4 - level) for level in levels]
    return BackboneWithFPN(body, stages, channels, CHANNELS, extra)


class ResNetTop(nn.Module):
    """The last stage of a torchvision ResNet, stride 32, with random weights and trainable batch norm.

    Attributes:
        out_channels: 512 for `resnet18` and `resnet34`, else 2048.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        body = get_model(name, weights=None, zero_init_residual=True)
        self.out_channels = body.fc.in_features
        self.body = IntermediateLayerGetter(body, {"layer4": "0"})

    def forward(self, images: Tensor) -> Tensor:
        """Turn `(B, 3, H, W)` into `(B, out_channels, H / 32, W / 32)`."""
        return self.body(images)["0"]


def resnet_groups(body: nn.Module) -> LayerGroups:
    """Return stem and four stages, as `layers_to_freeze` counts them (specification B.6)."""
    stages = [[body.get_submodule(f"layer{number}")] for number in range(1, 5) if hasattr(body, f"layer{number}")]
    return [[body.get_submodule("conv1"), body.get_submodule("bn1")], *stages]


class LitePyramid(nn.Module):
    """EfficientNet-Lite0 (timm's `tf_efficientnet_lite0`) with a pyramid.

    Attributes:
        out_channels: channels of every level.
    """

    def __init__(self, channels: int, levels: Sequence[int] = (1, 2, 3, 4)) -> None:
        """Build with random weights.

        Args:
            channels: of the pyramid.
            levels: features that feed it; feature i has stride 2 ** (i + 1).
        """
        super().__init__()
        import timm

        body: Any = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=tuple(levels))
        _pad_statically(body)
        self.body = body
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), channels, LastLevelMaxPool())
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Turn `(B, 3, H, W)` into `{"0": finest, …, "pool": coarsest}`."""
        return self.fpn(OrderedDict((str(level), feature) for level, feature in enumerate(self.body(images))))


class _HalvingConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's "same" padding for even sizes, as inputs are multiples of 32.

    timm works the padding out from the size in each call, on which the ONNX exporter with dynamic sizes never ends.
    """

    def forward(self, images: Tensor) -> Tensor:
        before, after = (self.kernel_size[0] - 2) // 2, (self.kernel_size[0] - 1) // 2
        return super().forward(functional.pad(images, (before, after, before, after)))


def _pad_statically(body: nn.Module) -> None:
    convolutions = [(n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    for name, old in convolutions:
        bias, side = old.bias is not None, old.kernel_size[0]
        new = _HalvingConv(old.in_channels, old.out_channels, side, stride=2, groups=old.groups, bias=bias)
        new.load_state_dict(old.state_dict())
        body.set_submodule(name, new)


def lite_groups(body: nn.Module) -> LayerGroups:
    """Return the stem and the seven blocks of EfficientNet-Lite0."""
    stem = [body.get_submodule("conv_stem"), body.get_submodule("bn1")]
    return [stem, *([block] for block in body.get_submodule("blocks").children())]
