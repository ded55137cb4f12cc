"""Networks of transformers that find instances as masks (Mask2Former, MaskFormer) behind the face of `Detector`.

Owns building, boxes and grids of masks, and the graph for ONNX; network, matching and losses are transformers'.
A query gives a class and a mask over the whole image: the box is the one around the mask, and the mask is sampled on a
grid over it, as the contract of `Detector` wants.
Sources: Cheng et al., arXiv:2107.06278 (MaskFormer) and arXiv:2112.01527 (Mask2Former, with the score of a mask).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from automl_images.core.types import Preprocessing
from automl_images.models import batched
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.hub.config import build_network, square, square_side
from automl_images.models.hub.parts import converted, layer_groups
from automl_images.models.rcnn_inference import MASK_OUTPUTS, PaddedWithMasks, unpad

GRID = 56
"""Side M of a mask's grid: twice that of Mask R-CNN, as these masks are finer."""

LEAST_SIDE = 64
FAMILIES = ("mask2former", "maskformer")
"""Types of models."""


class HubSegmenter(Detector):
    """A network of transformers; see `Detector` for inputs and outputs."""

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        hyperparameters: Mapping[str, Any],
        preprocessing: Preprocessing,
    ) -> None:
        """Take over a network.

        Args:
            network: with one output a class and one for nothing.
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
            preprocessing: of the images it is given.
        """
        super().__init__()
        self.network = network
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.score_threshold: float = hyperparameters["box_score_threshold"]
        self.detections: int = hyperparameters["box_detections_per_image"]

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """See `Detector.forward`."""
        if targets is None:
            return unpad(self.detect(images), sizes)
        cuda = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda, enabled=not self.training):
            if not self.training:
                torch.manual_seed(0)  # the loss looks at random points: always at the same ones in validation
            output = self.network(
                pixel_values=images,
                mask_labels=[target["masks"].to(images.dtype) for target in targets],
                class_labels=[target["labels"] for target in targets],
            )
        return {"loss": output.loss.sum()}

    def detect(self, images: Tensor) -> PaddedWithMasks:
        """Return the padded detections of `(B, 3, H, W)`, labels counted from 0, with masks `(B, K, M, M)`."""
        output = self.network(pixel_values=images)
        scores, labels = output.class_queries_logits.float().softmax(dim=-1)[..., :-1].max(dim=-1)
        scores, index = scores.topk(min(scores.shape[1], self.detections), dim=1)
        labels = batched.take(labels, index)
        masks = _take(output.masks_queries_logits.float(), index)
        boxes = _boxes(functional.interpolate(masks, size=images.shape[2:], mode="bilinear", align_corners=False))
        good = batched.large_enough(boxes, 1.0)
        scores = scores * _certainty(masks)
        scores = batched.marked(good & (scores > self.score_threshold), scores)
        scores, index = scores.topk(scores.shape[1], dim=1)
        boxes, labels, valid = batched.take(boxes, index), batched.take(labels, index), scores > batched.INVALID
        boxes = boxes * valid[..., None]
        grids = _grids(_take(masks, index), boxes, images.shape[3] / masks.shape[3]) * valid[..., None, None]
        return boxes, labels, scores, valid.sum(dim=1), grids

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the backbone's groups."""
        return layer_groups(self.network.get_submodule("model.pixel_level_module.encoder"))

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename tensors of files that another version of transformers wrote."""
        return converted(self.network, state)

    def export_spec(self) -> ExportSpec:
        """Return a graph with padded outputs for any number of images; labels count from 0, without background."""
        return ExportSpec(
            module=_Graph(self),
            inputs=("input",),
            outputs=MASK_OUTPUTS,
            dynamic=("batch",),
            decoder="padded_detections",
            labels=self.classes,
            dynamo=False,  # torch.export cannot turn Mask2Former into ONNX
            score_threshold=self.score_threshold,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self.score_threshold = threshold


class _Graph(nn.Module):
    """A segmenter whose call always detects; shares its weights."""

    def __init__(self, segmenter: HubSegmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> PaddedWithMasks:
        return self.segmenter.detect(images)


def _take(masks: Tensor, index: Tensor) -> Tensor:
    """Pick masks `(B, K)` of `(B, N, h, w)`."""
    return masks.gather(1, index[..., None, None].expand(-1, -1, masks.shape[2], masks.shape[3]))


def _certainty(masks: Tensor) -> Tensor:
    """Return the mean probability `(B, K)` of the pixels of each mask `(B, K, h, w)` of logits; 0 without pixels."""
    inside = (masks > 0).to(masks.dtype)
    return (masks.sigmoid() * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp(min=1)


def _boxes(masks: Tensor) -> Tensor:
    """Return the boxes `(B, K, 4)` xyxy around the pixels of masks `(B, K, H, W)` of logits; not large without any."""
    inside = masks > 0
    left, right = _extent(inside.any(dim=2))
    top, bottom = _extent(inside.any(dim=3))
    return torch.stack([left, top, right, bottom], dim=-1)


def _extent(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place and the one behind the last place `(B, K)` that is True in `(B, K, N)`."""
    places = torch.arange(inside.shape[2], device=inside.device, dtype=torch.float32).expand(inside.shape)
    first = torch.where(inside, places, torch.full_like(places, float(inside.shape[2]))).amin(dim=2)
    return first, torch.where(inside, places + 1, torch.zeros_like(places)).amax(dim=2)


def _grids(masks: Tensor, boxes: Tensor, stride: float) -> Tensor:
    """Return the probabilities `(B, K, M, M)` of masks `(B, K, h, w)` of logits on grids over boxes in pixels."""
    flat = masks.flatten(0, 1)[:, None]
    rows = torch.arange(flat.shape[0], device=masks.device, dtype=boxes.dtype)[:, None]
    regions = torch.cat([rows, boxes.flatten(0, 1)], dim=1)
    grids = roi_align(flat, regions, (GRID, GRID), 1 / stride, sampling_ratio=1, aligned=True)
    return grids[:, 0].sigmoid().unflatten(0, (masks.shape[0], masks.shape[1]))


def build_segmenter(
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
) -> HubSegmenter:
    """Build a network with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved; `image_size` is the side of the square.
        config: content of config.json, of a type in `FAMILIES`.
        preprocessor: content of preprocessor_config.json; empty where there is none.

    Raises:
        ModelError: transformers does not accept the config.
        SettingsError: `image_size` is too small.
    """
    network = build_network(
        "AutoModelForUniversalSegmentation", config, classes, use_auxiliary_loss=True, output_hidden_states=True
    )
    preprocessing = square("letterbox", square_side(hyperparameters, LEAST_SIDE), preprocessor)
    return HubSegmenter(network, classes, hyperparameters, preprocessing)
