"""What YOLOv5 minimises: boxes, objectness and classes over three levels.

Source: specification, section G. Differences: boxes are compared by CIoU (GIoU at choice), and where several objects
claim one place, its objectness follows the best of them instead of the one that comes last. The objectness gain is not
scaled with the image's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from automl_images.models.base import Target
from automl_images.models.yolov5.assignment import Matches, Objects, assign
from automl_images.models.yolov5.boxes import ciou, decode_boxes, to_corners
from automl_images.models.yolov5.network import ANCHORS, STRIDES

BOX_GAIN = 0.05
OBJECTNESS_GAIN = 1.0
CLASS_GAIN = 0.58 / 80
"""Times the number of classes."""

Agreement = Callable[[Tensor, Tensor], Tensor]


class YOLOv5Loss(nn.Module):
    """The loss of a batch.

    Args:
        num_classes: with one class there is no class loss.
        batch_size: the setting, by which the losses are multiplied (also where a batch is smaller).
        agreement: `ciou` or `giou`.
    """

    anchors: Tensor

    def __init__(self, num_classes: int, batch_size: int, agreement: Agreement = ciou) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.agreement = agreement
        self.register_buffer("anchors", torch.tensor(ANCHORS, dtype=torch.float32), persistent=False)

    def forward(self, maps: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Compare raw outputs with the truth.

        Args:
            maps: `(B, 3, h, w, 5 + classes)` logits of the strides 8, 16, 32.
            targets: one per image, in pixels of the network's input.

        Returns:
            Scalars `box`, `objectness`, `class`, each summed over the levels.
        """
        objects = Objects.of(targets)
        levels = [
            self._level(raw.float(), objects, anchors, stride)
            for raw, anchors, stride in zip(maps, self.anchors, STRIDES, strict=True)
        ]
        box, objectness, label = (torch.stack(parts).sum() for parts in zip(*levels, strict=True))
        return {
            "box": box * (BOX_GAIN * self.batch_size),
            "objectness": objectness * (OBJECTNESS_GAIN * self.batch_size),
            "class": label * (CLASS_GAIN * self.num_classes * self.batch_size),
        }

    def _level(self, raw: Tensor, objects: Objects, anchors: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        matches = assign(objects, anchors, stride, raw.shape[2], raw.shape[3])
        predicted = raw[matches.place]
        boxes = decode_boxes(predicted[:, :4], matches.cell, anchors[matches.anchor], stride)
        agreement = self.agreement(to_corners(boxes), to_corners(matches.box))
        objectness = functional.binary_cross_entropy_with_logits(raw[..., 4], _presence(raw, matches, agreement))
        count = max(1, len(agreement))
        return (1 - agreement).sum() / count, objectness, self._class_loss(predicted[:, 5:], matches.label, count)

    def _class_loss(self, logits: Tensor, labels: Tensor, count: int) -> Tensor:
        if self.num_classes == 1:
            return logits.new_zeros(())
        wanted = functional.one_hot(labels, self.num_classes).to(logits)
        loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        return loss / (count * self.num_classes)


def _presence(raw: Tensor, matches: Matches, agreement: Tensor) -> Tensor:
    """Return the objectness wanted of each place `(B, 3, h, w)`: how well its box agrees, 0 without an object."""
    _, anchors, height, width = raw.shape[:4]
    place = ((matches.image * anchors + matches.anchor) * height + matches.row) * width + matches.column
    wanted = raw.new_zeros(raw.shape[:4].numel())
    wanted.scatter_reduce_(0, place, agreement.detach().clamp(min=0), "amax")
    return wanted.view(raw.shape[:4])
