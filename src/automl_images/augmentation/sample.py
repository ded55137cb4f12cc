"""An image with its objects on the way through augmentation.

Owns the one type that steps take and give, and the moves that keep image, boxes and masks together. Leaves reading to
`data/images.py`, random choices to the steps, and the network's input to `data/preprocessing.py`.

Where there are masks, they are the truth: whatever is moved gets the boxes of its masks afterwards (specification A.5:
the box comes from the polygon), so that the box of an object that was cut is as tight as before.

The image tensor usually is a view of an `(H, W, 3)` array (channels last in memory): decoders give that, torchvision
resizes it three times faster, and `array` gives it back without a copy. Steps must not write into their input: it may
be shared with a cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from automl_images.core.types import ImageArray, Objects
from automl_images.data.masks import mask_boxes
from automl_images.data.preprocessing import Placement, resize_masks

Interpolation = Literal["bilinear", "bicubic"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image and its objects.

    Attributes:
        image: `(3, H, W)` uint8 RGB.
        boxes: `(N, 4)` float32 xyxy in pixels, inside the image.
        labels: `(N,)` int64; crowd: `(N,)` bool.
        masks: `(N, H, W)` bool, or None where the task has none.
    """

    image: tv_tensors.Image
    boxes: tv_tensors.BoundingBoxes
    labels: Tensor
    crowd: Tensor
    masks: tv_tensors.Mask | None = None

    @classmethod
    def from_objects(cls, image: ImageArray, objects: Objects) -> Sample:
        """Return the sample of an `(H, W, 3)` uint8 image and its objects; the pixels are shared, not copied.

        Objects whose box has no area are left out: their loss would be no number.
        """
        height, width = image.shape[:2]
        sample = cls(
            tv_tensors.Image(torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)),
            as_boxes(torch.from_numpy(np.asarray(objects.boxes, np.float32).reshape(-1, 4)), height, width),
            torch.from_numpy(np.asarray(objects.labels, np.int64)),
            torch.from_numpy(np.asarray(objects.crowd, np.bool_)),
            None if objects.masks is None else tv_tensors.Mask(torch.from_numpy(np.asarray(objects.masks, np.bool_))),
        )
        return sample._with_area()

    def to_objects(self) -> Objects:
        """Return the objects as numpy arrays."""
        masks = None if self.masks is None else plain(self.masks).numpy()
        return Objects(plain(self.boxes).numpy(), self.labels.numpy(), self.crowd.numpy(), masks)

    def array(self) -> ImageArray:
        """Return the image as contiguous `(H, W, 3)` uint8 array."""
        return np.ascontiguousarray(plain(self.image).permute(1, 2, 0).numpy())

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return int(self.image.shape[-2])

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return int(self.image.shape[-1])

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: Tensor) -> Sample:
        """Return the sample with the objects that a boolean `(N,)` or index tensor selects."""
        boxes = as_boxes(plain(self.boxes)[keep], self.height, self.width)
        masks = None if self.masks is None else tv_tensors.Mask(plain(self.masks)[keep])
        return Sample(self.image, boxes, self.labels[keep], self.crowd[keep], masks)

    def move(self, kernel: Callable[..., Any], *args: Any) -> Sample:
        """Apply a function of `torchvision.transforms.v2.functional` that moves pixels, but does not scale.

        See `settled` for what becomes of the objects.
        """
        masks = None if self.masks is None else kernel(self.masks, *args)
        return Sample(kernel(self.image, *args), kernel(self.boxes, *args), self.labels, self.crowd, masks).settled()

    def resized(self, height: int, width: int, interpolation: Interpolation = "bilinear") -> Sample:
        """Return the sample with an image of `height` x `width` pixels, antialiased when shrinking.

        Masks take the nearest pixel. See `settled` for what becomes of the objects.
        """
        if (self.height, self.width) == (height, width):
            return self
        image = F.resize(self.image, [height, width], InterpolationMode(interpolation))
        masks = None
        if self.masks is not None:
            placement = Placement(width / self.width, height / self.height, 0, 0, self.width, self.height)
            masks = tv_tensors.Mask(torch.from_numpy(resize_masks(self.masks.numpy(), placement, height, width)))
        boxes = F.resize(self.boxes, [height, width])
        return Sample(image, boxes, self.labels, self.crowd, masks).settled()

    def settled(self) -> Sample:
        """Return the sample after a move: with boxes that fit, and without objects of which nothing is left.

        Boxes are those around the masks, where there are masks, and cut at the image's edges.
        """
        if self.masks is None:
            boxes = plain(self.boxes).clamp(min=0)
            boxes = torch.minimum(boxes, torch.tensor([self.width, self.height] * 2, dtype=torch.float32))
        else:
            boxes = torch.from_numpy(mask_boxes(self.masks.numpy()))
        return dataclasses.replace(self, boxes=as_boxes(boxes, self.height, self.width))._with_area()

    def _with_area(self) -> Sample:
        """Return the sample without the objects whose box has no area."""
        boxes = plain(self.boxes)
        keep = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        return self if bool(keep.all()) else self.take(keep)


def plain(value: Tensor) -> Tensor:
    """Return the plain tensor behind a tv_tensor; arithmetic on it is faster and keeps no type."""
    return value.as_subclass(Tensor)


def as_boxes(boxes: Tensor, height: int, width: int) -> tv_tensors.BoundingBoxes:
    """Return `(N, 4)` xyxy `boxes` as tv_tensor of an image of `height` x `width` pixels."""
    return tv_tensors.BoundingBoxes(boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(height, width))
