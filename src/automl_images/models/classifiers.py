"""Image classifiers of timm behind the face of `Classifier`.

Owns building, sizes of images and layer groups. The networks are timm's own; their tensors keep timm's names behind the
prefix `network.`. timm is never asked for weights: these are `weights.py`'s.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from automl_images.core.errors import SettingsError
from automl_images.core.hyperparameters import find
from automl_images.core.types import Preprocessing
from automl_images.models.backbones import LayerGroups, lite_groups, resnet_groups
from automl_images.models.base import Classifier, ExportSpec
from automl_images.models.centre_crop import centre_crop

log = logging.getLogger(__name__)

SIZES = ("validation_resize_size", "validation_crop_size", "training_crop_size")
SERESNEXT_SIZES = dict(zip(SIZES, (256, 224, 224), strict=True))
PATCH = 16

_RESIZE = find("validation_resize_size")
_USUAL_RESIZES = {_RESIZE.default, *(value for _, value in _RESIZE.defaults)}
"""What stands there when nobody has set it."""


class TimmClassifier(Classifier):
    """A network of timm; see `Classifier` for inputs and outputs."""

    def __init__(
        self,
        network: nn.Module,
        groups: Callable[[nn.Module], LayerGroups],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        training_size: int,
    ) -> None:
        """Take over a network.

        Args:
            network: with one output a class.
            groups: gives the network's layer groups.
            classes: sorted class names.
            preprocessing: of the images it is given.
            training_size: side of augmented training images, pixels.
        """
        super().__init__()
        self.network = network
        self._groups = groups
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.training_size = training_size

    def forward(self, images: Tensor) -> Tensor:
        """See `Classifier.forward`."""
        return self.network(images)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the groups of the network without its head."""
        return self._groups(self.network)

    def export_spec(self) -> ExportSpec:
        """Return a graph that gives logits for any number of images."""
        return ExportSpec(
            module=self.network,
            inputs=("input1",),
            outputs=("output1",),
            dynamic=("batch",),
            decoder="softmax",
            labels=self.classes,
        )


class VisionTransformer(TimmClassifier):
    """A network that sees an image as patches and knows their places for one size of images only."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resample position embeddings of weights that were trained at another size of images."""
        network: Any = self.network
        grid, prefix = list(network.patch_embed.grid_size), network.num_prefix_tokens
        return {
            name: resample_abs_pos_embed(value, grid, num_prefix_tokens=prefix)
            if _is_of_square(name, value, prefix)
            else value
            for name, value in state.items()
        }


def _is_of_square(name: str, value: Tensor, prefix: int) -> bool:
    """Tell whether a tensor is a position embedding `(1, prefix + n * n, width)`."""
    patches = value.shape[1] - prefix if value.ndim == 3 else 0
    return name.rsplit(".", 1)[-1] == "pos_embed" and patches > 0 and math.isqrt(patches) ** 2 == patches


def mobilenet_groups(network: nn.Module) -> LayerGroups:
    """Return the stem, each of the 17 blocks and the last convolution of MobileNetV2 (specification B.6)."""
    blocks = [[block] for stage in network.get_submodule("blocks").children() for block in stage.children()]
    return [_modules(network, "conv_stem", "bn1"), *blocks, _modules(network, "conv_head", "bn2")]


def lite_classifier_groups(network: nn.Module) -> LayerGroups:
    """Return the stem, the seven blocks and the last convolution of EfficientNet-Lite0."""
    return [*lite_groups(network), _modules(network, "conv_head", "bn2")]


def vit_groups(network: nn.Module) -> LayerGroups:
    """Return the patch embedding, with class token and position embedding, and each block (specification B.6)."""
    tokens = nn.ParameterList([network.get_parameter("cls_token"), network.get_parameter("pos_embed")])
    blocks = [[block] for block in network.get_submodule("blocks").children()]
    return [[*_modules(network, "patch_embed"), tokens], *blocks]


def _modules(network: nn.Module, *names: str) -> list[nn.Module]:
    return [network.get_submodule(name) for name in names]


def build_resnet(classes: Sequence[str], hyperparameters: Mapping[str, Any], timm_name: str) -> TimmClassifier:
    """Build a ResNet or ResNeSt with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved.
        timm_name: the architecture.
    """
    return _convolutional(classes, timm_name, resnet_groups, hyperparameters)


def build_seresnext(classes: Sequence[str], hyperparameters: Mapping[str, Any], timm_name: str) -> TimmClassifier:
    """Build an SE-ResNeXt with random weights; its sizes are fixed (specification B.3). Arguments as above."""
    for name, size in SERESNEXT_SIZES.items():
        if hyperparameters[name] != size:
            log.warning("seresnext is always used with %s %d; %d has no effect.", name, size, hyperparameters[name])
    return _convolutional(classes, timm_name, resnet_groups, {**hyperparameters, **SERESNEXT_SIZES})


def build_mobilenet(classes: Sequence[str], hyperparameters: Mapping[str, Any], timm_name: str) -> TimmClassifier:
    """Build a MobileNetV2 with random weights. Arguments as above."""
    return _convolutional(classes, timm_name, mobilenet_groups, hyperparameters)


def build_lite(classes: Sequence[str], hyperparameters: Mapping[str, Any], timm_name: str) -> TimmClassifier:
    """Build an EfficientNet-Lite with random weights. Arguments as above."""
    return _convolutional(classes, timm_name, lite_classifier_groups, hyperparameters)


def build_vit(classes: Sequence[str], hyperparameters: Mapping[str, Any], timm_name: str) -> VisionTransformer:
    """Build a vision transformer with random weights, for images of `validation_crop_size` in training too.

    Arguments as above.

    Raises:
        SettingsError: the crop does not consist of whole patches.
    """
    resize, crop, training = (hyperparameters[name] for name in SIZES)
    if crop % PATCH:
        below = max(1, crop // PATCH) * PATCH
        raise SettingsError(
            f"validation_crop_size must be a multiple of {PATCH} for {timm_name}, whose patches have that side, "
            f"got {crop}. Set it to {below} or {below + PATCH}."
        )
    if training != crop:
        log.warning(
            "A vision transformer is trained at validation_crop_size %d; training_crop_size %d has no effect.",
            crop,
            training,
        )
    network = timm.create_model(timm_name, num_classes=len(classes), img_size=crop)
    preprocessing = _preprocessing(network, resize, crop, hyperparameters["whole_image"])
    return VisionTransformer(network, vit_groups, classes, preprocessing, crop)


def _convolutional(
    classes: Sequence[str],
    timm_name: str,
    groups: Callable[[nn.Module], LayerGroups],
    hyperparameters: Mapping[str, Any],
) -> TimmClassifier:
    resize, crop, training = (hyperparameters[name] for name in SIZES)
    network: Any = timm.create_model(timm_name, num_classes=len(classes))
    _begin_without_opinion(network.get_classifier())
    preprocessing = _preprocessing(network, resize, crop, hyperparameters["whole_image"])
    return TimmClassifier(network, groups, classes, preprocessing, training)


def _begin_without_opinion(head: nn.Linear) -> None:
    """Give a new head small weights, as torchvision's MobileNets have.

    timm's are `1 / sqrt(classes)` wide in its EfficientNets: with four classes the first loss is 10 and more, and its
    gradients spoil a pretrained backbone.
    """
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)


def _preprocessing(network: nn.Module, resize_size: int, crop_size: int, whole_image: bool) -> Preprocessing:
    """Return the preprocessing with the colours and scaling that timm's weights of the network were trained with."""
    if whole_image and resize_size not in _USUAL_RESIZES:
        log.warning(
            "With whole_image images are stretched to the crop; validation_resize_size %d has no effect.", resize_size
        )
    trained: Any = network.pretrained_cfg
    cropped = centre_crop(resize_size, crop_size, trained["mean"], trained["std"], trained["interpolation"])
    return dataclasses.replace(cropped, resize="stretch") if whole_image else cropped
