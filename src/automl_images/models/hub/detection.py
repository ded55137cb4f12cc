"""Detectors of the DETR family from transformers behind the face of `Detector`.

Owns building, targets, reading of predictions and the graph for ONNX; network, matching and losses are transformers'.
The input is a square of a fixed side. There is no suppression: each object is to be found by one query.
Sources: Carion et al., arXiv:2005.12872 (DETR); Zhu et al., arXiv:2010.04159 (Deformable DETR); Zhao et al.,
arXiv:2304.08069 and Lv et al., arXiv:2407.17140 (RT-DETR); Peng et al., arXiv:2410.13842 (D-FINE).
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from automl_images.core.types import Preprocessing
from automl_images.models import batched
from automl_images.models.base import Detector, ExportSpec, Prediction, Target
from automl_images.models.hub.config import STRIDE, build_network, square, square_side
from automl_images.models.hub.parts import converted, fix_constants, layer_groups, thaw_norms
from automl_images.models.rcnn_inference import OUTPUTS, Padded, unpad


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """What a type of models has of its own.

    Attributes:
        resize: how an image becomes a square.
        normalised: whether colours are normalised where the model's files do not say.
        background: the last logit means that a query found nothing; else each class is judged by itself.
        changed: values of the config that must not be the file's.
        forgotten_proposals: transformers' loss leaves out the first of two stages.
        least_side: of the input, pixels.
    """

    resize: Literal["stretch", "letterbox"]
    normalised: bool
    background: bool
    changed: Mapping[str, Any]
    forgotten_proposals: bool = False
    least_side: int = STRIDE


_ANY_SIZE = {"anchor_image_size": None, "eval_size": None}
FAMILIES = {
    "detr": Family("letterbox", True, True, {"auxiliary_loss": True}),
    "deformable_detr": Family("letterbox", True, False, {"auxiliary_loss": True}, True, least_side=128),
    "rt_detr": Family("stretch", False, False, _ANY_SIZE),
    "rt_detr_v2": Family("stretch", False, False, _ANY_SIZE),
    "d_fine": Family("stretch", False, False, _ANY_SIZE),
}


class HubDetector(Detector):
    """A network of transformers; see `Detector` for inputs and outputs."""

    def __init__(
        self,
        network: nn.Module,
        family: Family,
        classes: Sequence[str],
        hyperparameters: Mapping[str, Any],
        preprocessing: Preprocessing,
    ) -> None:
        """Take over a network.

        Args:
            network: with one output a class, and one more where its family has a background.
            family: of the network.
            classes: sorted class names.
            hyperparameters: of `core/hyperparameters`, resolved.
            preprocessing: of the images it is given.
        """
        super().__init__()
        self.network = network
        self.family = family
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
        height, width = images.shape[2:]
        labels = [
            {
                "boxes": box_convert(target["boxes"], "xyxy", "cxcywh") / images.new_tensor([width, height] * 2),
                "class_labels": target["labels"],
            }
            for target in targets
        ]
        output = self.network(pixel_values=images, labels=labels)
        losses = {"loss": output.loss}
        if getattr(output, "enc_outputs_coord_logits", None) is not None and self.family.forgotten_proposals:
            losses["proposals"] = self._proposal_loss(output, labels)
        return losses

    def _proposal_loss(self, output: Any, labels: list[dict[str, Tensor]]) -> Tensor:
        """Return the loss of the first stage of a two-stage Deformable DETR, in which all objects are of one class.

        transformers leaves it out, so that new heads would never learn which places to propose (arXiv:2010.04159,
        section 4.2 and appendix A.4).
        """
        config: Any = copy.copy(self.network.config)
        config.auxiliary_loss = False
        objects = [{**one, "class_labels": torch.zeros_like(one["class_labels"])} for one in labels]
        logits, boxes = output.enc_outputs_class, output.enc_outputs_coord_logits.sigmoid()
        network: Any = self.network
        loss, *_ = network.loss_function(logits, objects, logits.device, boxes, config)
        return loss

    def detect(self, images: Tensor) -> Padded:
        """Return the padded detections of `(B, 3, H, W)`, labels counted from 0."""
        output = self.network(pixel_values=images)
        logits, boxes = output.logits.float(), output.pred_boxes.float()
        if self.family.background:
            scores, labels = logits.softmax(dim=-1)[..., :-1].max(dim=-1)
            scores, index = scores.topk(min(scores.shape[1], self.detections), dim=1)
            labels = batched.take(labels, index)
        else:
            count = min(logits.shape[1] * logits.shape[2], self.detections)
            scores, index = logits.sigmoid().flatten(1).topk(count, dim=1)
            labels, index = index % logits.shape[2], index // logits.shape[2]
        scores = batched.marked(scores > self.score_threshold, scores)
        boxes = batched.clip(self._in_pixels(batched.take(boxes, index), images), images)
        return boxes, labels, scores, (scores > batched.INVALID).sum(dim=1)

    def _in_pixels(self, boxes: Tensor, images: Tensor) -> Tensor:
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        return torch.cat([centre - half, centre + half], dim=-1) * boxes.new_tensor(
            [images.shape[3], images.shape[2]] * 2
        )

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the backbone's groups."""
        return layer_groups(self.network.get_submodule("model.backbone"))

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename tensors of files that another version of transformers wrote."""
        return converted(self.network, state)

    def export_spec(self) -> ExportSpec:
        """Return a graph with padded outputs for any number of images; labels count from 0, without background."""
        return ExportSpec(
            module=_Graph(self),
            inputs=("input",),
            outputs=OUTPUTS,
            dynamic=("batch",),
            decoder="padded_detections",
            labels=self.classes,
            dynamo=False,  # torch.export takes minutes, and its graph of a two-stage Deformable DETR is invalid
            score_threshold=self.score_threshold,
        )

    def set_score_threshold(self, threshold: float) -> None:
        """See `Detector.set_score_threshold`."""
        self.score_threshold = threshold


class _Graph(nn.Module):
    """A detector whose call always detects; shares its weights."""

    def __init__(self, detector: HubDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Padded:
        return self.detector.detect(images)


def build_detector(
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
) -> HubDetector:
    """Build a detector with random weights.

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved; `image_size` is the side of the square.
        config: content of config.json, of a type in `FAMILIES`.
        preprocessor: content of preprocessor_config.json; empty where there is none.

    Raises:
        ModelError: transformers does not accept the config.
        SettingsError: `image_size` is too small.
    """
    family = FAMILIES[config["model_type"]]
    network = build_network("AutoModelForObjectDetection", config, classes, **family.changed)
    thaw_norms(network)
    fix_constants(network)
    if not family.background:
        _expect_little(network)
    side = square_side(hyperparameters, family.least_side)
    preprocessing = square(family.resize, side, preprocessor, family.normalised)
    return HubDetector(network, family, classes, hyperparameters, preprocessing)


def _expect_little(network: nn.Module) -> None:
    """Let each class have a probability of 0.01 at first, as the papers have it after Lin et al., arXiv:1708.02002.

    transformers begins Deformable DETR at 0.5, and RT-DETR and D-FINE at 0.5 where there is one class; then the loss of
    the thousands of places without object begins in the hundreds.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and ("class_embed" in name or "enc_score_head" in name):
            nn.init.constant_(module.bias, -math.log(0.99 / 0.01))
