"""Which anchors of which cells are to predict which objects.

Source: specification, section G. An object goes to every anchor whose sides differ from its own by less than a factor
of 4, in the cell of its centre and in the nearest cell beside and the nearest above or below: those reach the centre,
as predicted centres lie up to half a cell outside their cell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from automl_images.models.base import Target
from automl_images.models.yolov5.boxes import to_centres

LARGEST_RATIO = 4.0


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """All objects of a batch.

    Attributes:
        image: `(T,)` int64, number in the batch.
        label: `(T,)` int64.
        box: `(T, 4)` float32 centre x, centre y, width, height in pixels.
    """

    image: Tensor
    label: Tensor
    box: Tensor

    @classmethod
    def of(cls, targets: Sequence[Target]) -> Objects:
        """Join the targets of a batch; images may have none."""
        labels = torch.cat([target["labels"] for target in targets])
        counts = torch.tensor([len(target["labels"]) for target in targets], device=labels.device)
        numbers = torch.arange(len(targets), device=labels.device)
        boxes = torch.cat([target["boxes"] for target in targets])
        image = numbers.repeat_interleave(counts, output_size=len(labels))
        return cls(image, labels, to_centres(boxes.float().reshape(-1, 4)))


@dataclasses.dataclass(frozen=True, slots=True)
class Matches:
    """Places of one level that are to predict an object; an object may have many, a place more than one.

    Attributes:
        image, anchor, row, column: `(M,)` int64, the place.
        label: `(M,)` int64; box: `(M, 4)` as in `Objects`.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    label: Tensor
    box: Tensor

    @property
    def place(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Index into `(B, anchors, h, w, …)`."""
        return self.image, self.anchor, self.row, self.column

    @property
    def cell(self) -> Tensor:
        """`(M, 2)` column and row."""
        return torch.stack([self.column, self.row], dim=-1)


def assign(objects: Objects, anchors: Tensor, stride: int, height: int, width: int) -> Matches:
    """Find the places of one level.

    Args:
        objects: of the batch.
        anchors: `(A, 2)` width and height, pixels.
        stride: pixels a cell.
        height: rows of the level's map.
        width: columns of the level's map.
    """
    ratio = objects.box[None, :, 2:] / anchors[:, None]
    fits = torch.maximum(ratio, 1 / ratio).amax(dim=-1) < LARGEST_RATIO
    anchor, number = fits.nonzero(as_tuple=True)
    position = objects.box[number, :2] / stride
    limit = torch.tensor([width - 1, height - 1], device=position.device)
    own = torch.minimum(position.floor().long().clamp(min=0), limit)
    side = torch.sign(position - own - 0.5).long()
    steps = torch.stack([torch.zeros_like(side), side * side.new_tensor([1, 0]), side * side.new_tensor([0, 1])])
    cells = own + steps
    inside = ((cells >= 0) & (cells <= limit)).all(dim=-1)
    moved = (steps != 0).any(dim=-1)
    moved[0] = True  # the own cell; a centre in the middle of a cell has no nearest neighbour
    direction, pair = (inside & moved).nonzero(as_tuple=True)
    column, row = cells[direction, pair].unbind(dim=-1)
    chosen = number[pair]
    return Matches(objects.image[chosen], anchor[pair], row, column, objects.label[chosen], objects.box[chosen])
