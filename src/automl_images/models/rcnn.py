"""Faster and Mask R-CNN on several backbones behind the face of `Detector`.

Owns building, losses and layer groups. Uses torchvision's region proposal network and heads, whose tensor names are
kept, but not its image transform: images come preprocessed and padded. Inference stands in `rcnn_inference.py`.
All boxes are handled on the padded canvas and cut to the image's own size at the end, so that torch and ONNX agree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from automl_images.core.types import Preprocessing
from automl_images.models.backbones import LayerGroups, LitePyramid, lite_groups, resnet_groups, resnet_pyramid
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.rcnn_inference import MASK_OUTPUTS, OUTPUTS, BatchedRCNN, unpad
from automl_images.models.shorter_side import IMAGENET_MEAN, IMAGENET_STD, shorter_side

BACKGROUND = "--bg--"
LITE_MEAN = LITE_STD = (0.5, 0.5, 0.5)
LITE_CHANNELS = 96
LITE_HIDDEN = 512
LITE_PROPOSALS = {
    "rpn_pre_nms_top_n_train": 512,
    "rpn_pre_nms_top_n_test": 512,
    "rpn_post_nms_top_n_train": 256,
    "rpn_post_nms_top_n_test": 256,
    "box_batch_size_per_image": 128,
}
"""Fewer proposals than torchvision's 2000: at 320 pixels the others cost time and lie on the same objects."""
LITE_MASK_LAYERS = (96, 96, 96)
WIDENED = ("roi_heads.mask_predictor.conv5_mask.weight", "roi_heads.mask_predictor.conv5_mask.bias")
MASK_INIT = 0.01
"""Standard deviation of the last weights before a mask: it starts undecided. With torchvision's its loss starts at 20
and drowns the others."""


class RCNNDetector(Detector):
    """Faster R-CNN, or Mask R-CNN where the network has a head for masks; see `Detector` for inputs and outputs."""

    def __init__(
        self, network: FasterRCNN, groups: LayerGroups, classes: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        """Take over the parts of a torchvision network.

        Args:
            network: with `len(classes) + 1` outputs, the first of them background.
            groups: layer groups of its backbone.
            classes: sorted class names.
            preprocessing: of the images it is given.
        """
        super().__init__()
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.backbone, self.rpn, self.roi_heads = network.backbone, network.rpn, network.roi_heads
        self._groups = groups
        _fix_pooling_scales(self.roi_heads.box_roi_pool)
        if self.roi_heads.has_mask():
            _fix_pooling_scales(self.roi_heads.mask_roi_pool)
            nn.init.normal_(self.roi_heads.mask_predictor.mask_fcn_logits.weight, std=MASK_INIT)

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """See `Detector.forward`."""
        if targets is not None:
            return self._losses(images, targets)
        return unpad(self._inference()(images), sizes, first_label=1)

    def _losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        shifted = [{**target, "labels": target["labels"] + 1} for target in targets]
        canvas = ImageList(images, [(images.shape[2], images.shape[3])] * len(images))
        features = self.backbone(images)
        with _losses_computed(self.rpn, self.roi_heads, fixed_samples=not self.training, device=images.device):
            proposals, losses = self.rpn(canvas, features, shifted)
            _, more = self.roi_heads(features, proposals, canvas.image_sizes, shifted)
        return {**losses, **more}

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the backbone's groups."""
        return self._groups

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take as many channels of the layer before the masks as this network has; what it has more stays as it is."""
        if not self.roi_heads.has_mask():
            return state
        widened = {name: _widened(self.get_parameter(name), state[name]) for name in WIDENED if name in state}
        return {**state, **widened}

    def export_spec(self) -> ExportSpec:
        """Return a graph with padded outputs; labels count from 1, entry 0 of the class list is background."""
        return ExportSpec(
            module=self._inference(),
            inputs=("input",),
            outputs=MASK_OUTPUTS if self.roi_heads.has_mask() else OUTPUTS,
            dynamic=("batch", "height", "width"),
            decoder="padded_detections",
            labels=(BACKGROUND, *self.classes),
            score_threshold=self.roi_heads.score_thresh,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self.roi_heads.score_thresh = threshold

    def _inference(self) -> BatchedRCNN:
        return BatchedRCNN(self.backbone, self.rpn, self.roi_heads)


@contextlib.contextmanager
def _losses_computed(*parts: nn.Module, fixed_samples: bool, device: torch.device) -> Iterator[None]:
    """Make torchvision's parts give losses, in eval mode too.

    They draw random samples of anchors and proposals. In eval mode the draw is always the same and the random state
    outside is left alone, so that a validation loss is comparable and does not change the training after it.
    """
    modes = [part.training for part in parts]
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda, enabled=fixed_samples):
        if fixed_samples:
            torch.manual_seed(0)
        for part in parts:
            part.training = True
        try:
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode


def _fix_pooling_scales(pool: MultiScaleRoIAlign) -> None:
    """Set the strides of the pooled levels, which torchvision else guesses from the first batch and keeps."""
    finest = {4: 2, 3: 3}[len(pool.featmap_names)]
    pool.scales = [2.0**-level for level in range(finest, 6)]
    pool.map_levels = initLevelMapper(finest, 5, canonical_scale=pool.canonical_scale)


def _widened(own: Tensor, given: Tensor) -> Tensor:
    """Return `own`, of shape `(channels,)` or `(in, channels, h, w)`, with the values of `given` where it has them.

    A tensor that differs in more than its channels is another network's and is returned as it is.
    """
    axis = min(1, own.ndim - 1)
    if own.shape[:axis] + own.shape[axis + 1 :] != given.shape[:axis] + given.shape[axis + 1 :]:
        return given
    count = min(own.shape[axis], given.shape[axis])
    result = own.detach().clone()
    result.narrow(axis, 0, count).copy_(given.narrow(axis, 0, count))
    return result


def _thresholds(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "box_score_thresh": hyperparameters["box_score_threshold"],
        "box_nms_thresh": hyperparameters["nms_iou_threshold"],
        "box_detections_per_img": hyperparameters["box_detections_per_image"],
    }


def widen_masks(network: MaskRCNN, hyperparameters: Mapping[str, Any]) -> None:
    """Give the layer before the masks `mask_predictor_hidden_dim` channels."""
    last, width = network.roi_heads.mask_predictor, hyperparameters["mask_predictor_hidden_dim"]
    if width != last.conv5_mask.out_channels:
        made = MaskRCNNPredictor(last.conv5_mask.in_channels, width, last.mask_fcn_logits.out_channels)
        network.roi_heads.mask_predictor = made


def build_resnet(
    classes: Sequence[str], hyperparameters: Mapping[str, Any], backbone: str, masks: bool = False
) -> RCNNDetector:
    """Build torchvision's Faster or Mask R-CNN on a ResNet pyramid with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters.py`, resolved.
        backbone: `resnet18` … `resnet152`.
        masks: with a head for masks.
    """
    pyramid = resnet_pyramid(backbone)
    network = (MaskRCNN if masks else FasterRCNN)(pyramid, len(classes) + 1, **_thresholds(hyperparameters))
    if masks:
        widen_masks(network, hyperparameters)
    preprocessing = shorter_side(hyperparameters, IMAGENET_MEAN, IMAGENET_STD)
    return RCNNDetector(network, resnet_groups(pyramid.get_submodule("body")), classes, preprocessing)


def build_lite(classes: Sequence[str], hyperparameters: Mapping[str, Any], masks: bool = False) -> RCNNDetector:
    """Build a small Faster or Mask R-CNN on EfficientNet-Lite0 with random weights, quick enough for a laptop.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters.py`, resolved.
        masks: with a head for masks.
    """
    pyramid = LitePyramid(LITE_CHANNELS)
    parts: dict[str, nn.Module] = {
        "box_head": TwoMLPHead(LITE_CHANNELS * 7 * 7, LITE_HIDDEN),
        "box_predictor": FastRCNNPredictor(LITE_HIDDEN, len(classes) + 1),
    }
    if masks:
        parts["mask_head"] = MaskRCNNHeads(LITE_CHANNELS, LITE_MASK_LAYERS, 1)
        width = hyperparameters["mask_predictor_hidden_dim"]
        parts["mask_predictor"] = MaskRCNNPredictor(LITE_MASK_LAYERS[-1], width, len(classes) + 1)
    network = (MaskRCNN if masks else FasterRCNN)(pyramid, **parts, **LITE_PROPOSALS, **_thresholds(hyperparameters))
    preprocessing = shorter_side(hyperparameters, LITE_MEAN, LITE_STD)
    return RCNNDetector(network, lite_groups(pyramid.body), classes, preprocessing)
