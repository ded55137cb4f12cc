"""An image with its objects on the way through augmentation.

Owns the one type that steps take and give, and the moves that keep image, boxes and masks together. Leaves reading to
`data/images.py`, random choices to the steps, and the network's input to `data/preprocessing.py`.

The image tensor usually is a view of an `(H, W, 3)` array (channels last in memory): decoders give that, torchvision
resizes it three times faster, and `array` gives it back without a copy. Steps must not write into their input: it may
be shared with a cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from automl_images.core.types import ImageArray, Objects


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
        """Return the sample of an `(H, W, 3)` uint8 image and its objects; the pixels are shared, not copied."""
        height, width = image.shape[:2]
        return cls(
            tv_tensors.Image(torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)),
            as_boxes(torch.from_numpy(np.asarray(objects.boxes, np.float32).reshape(-1, 4)), height, width),
            torch.from_numpy(np.asarray(objects.labels, np.int64)),
            torch.from_numpy(np.asarray(objects.crowd, np.bool_)),
            None if objects.masks is None else tv_tensors.Mask(torch.from_numpy(np.asarray(objects.masks, np.bool_))),
        )

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
        """Apply a geometric function of `torchvision.transforms.v2.functional` to image, boxes and masks alike.

        Objects whose boxes have no area afterwards are removed.
        """
        image = kernel(self.image, *args)
        masks = None if self.masks is None else _move_masks(self.masks, kernel, args, image.shape[-2:])
        return Sample(image, kernel(self.boxes, *args), self.labels, self.crowd, masks).with_area()

    def with_area(self) -> Sample:
        """Return the sample without the objects whose boxes have no area."""
        boxes = plain(self.boxes)
        keep = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        return self if bool(keep.all()) else self.take(keep)


def plain(value: Tensor) -> Tensor:
    """Return the plain tensor behind a tv_tensor; arithmetic on it is faster and keeps no type."""
    return value.as_subclass(Tensor)


def as_boxes(boxes: Tensor, height: int, width: int) -> tv_tensors.BoundingBoxes:
    """Return `(N, 4)` xyxy `boxes` as tv_tensor of an image of `height` x `width` pixels."""
    return tv_tensors.BoundingBoxes(boxes, format=tv_tensors.BoundingBoxFormat.XYXY, canvas_size=(height, width))


def _move_masks(masks: tv_tensors.Mask, kernel: Callable[..., Any], args: Any, size: torch.Size) -> tv_tensors.Mask:
    if len(masks) == 0:  # resizing of nothing is refused by torch
        return tv_tensors.Mask(torch.zeros((0, *size), dtype=torch.bool))
    bytes_ = tv_tensors.Mask(plain(masks).view(torch.uint8))
    return tv_tensors.Mask(plain(kernel(bytes_, *args)).contiguous().view(torch.bool))
