"""What a classifier is trained and judged on: rows become augmented images with their classes, and batches.

Owns mixing pairs of images too (mixup, arXiv:1710.09412; cutmix, arXiv:1905.04899), as it happens to whole batches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from automl_images.augmentation.build import Augmentation
from automl_images.augmentation.sample import Sample
from automl_images.core.types import Objects, Preprocessing, Row
from automl_images.data.images import ImageError
from automl_images.data.mltable import labels_of
from automl_images.data.preprocessing import normalise, preprocess
from automl_images.tasks.samples import DecodedImages, generator_of_sample

NO_OBJECTS = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def class_targets(rows: Sequence[Row], class_index: Mapping[str, int], kind: str) -> Tensor:
    """Return the annotated classes of rows, `(N, classes)` float32 of zeros and ones.

    Args:
        rows: with labels of `kind`.
        class_index: class name to label.
        kind: `class` or `classes`.
    """
    targets = torch.zeros(len(rows), len(class_index))
    for target, row in zip(targets, rows, strict=True):
        target[[class_index[name] for name in labels_of(row["label"], kind)]] = 1.0
    return targets


@dataclasses.dataclass(frozen=True, slots=True)
class Mixing:
    """How pairs of training images are blended.

    Attributes:
        mixup, cutmix: parameter of the Beta distribution of the share; 0: that kind is not used.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def apply(self, images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Blend each image of `(B, 3, H, W)` with its mirror place in the batch, and their targets `(B, C)` alike."""
        generator = np.random.default_rng(seed)
        cut = self.cutmix > 0 and (self.mixup == 0 or generator.random() < 0.5)
        alpha = self.cutmix if cut else self.mixup
        share = float(generator.beta(alpha, alpha))
        others, blended = images.flip(0), images.clone()
        if cut:
            height, width = images.shape[-2:]
            side = math.sqrt(1 - share)
            y, x = generator.random() * height, generator.random() * width
            top, bottom = (round(min(max(y + d * height * side / 2, 0), height)) for d in (-1, 1))
            left, right = (round(min(max(x + d * width * side / 2, 0), width)) for d in (-1, 1))
            blended[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / (height * width)
        else:
            blended = share * images + (1 - share) * others
        return blended, share * targets + (1 - share) * targets.flip(0)


@dataclasses.dataclass(slots=True)
class ClassifiedItem:
    """One element of a data set: `pixels` `(3, H, W)`, `target` `(C,)`, and in training the `seed` of mixing."""

    image_id: str
    pixels: Tensor
    target: Tensor
    seed: int | None = None


class TrainingSet(Dataset[ClassifiedItem | None]):
    """Augmented images: `set[(epoch, index)]`; the same key always gives the same sample.

    A plan without steps leaves the images as validation sees them.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        targets: Tensor,
        augmentation: Augmentation | None,
        preprocessing: Preprocessing,
        seed: int,
    ) -> None:
        self.rows, self.targets = rows, targets
        self.augmentation, self.preprocessing, self.seed = augmentation, preprocessing, seed
        self.images = DecodedImages(rows)
        self.image_ids = [str(row["image_url"]) for row in rows]
        self.shape_groups: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> ClassifiedItem | None:
        """Return sample `index` of `epoch`; None when its image cannot be read."""
        epoch, index = key
        generator = generator_of_sample(self.seed, epoch, index)
        if self.augmentation is None:
            image = self._load(index)
            pixels = None if image is None else preprocess(image.array(), self.preprocessing)[0]
        else:
            sample = self.augmentation(self._load, index, len(self), generator)
            pixels = None if sample is None else normalise(sample.array(), self.preprocessing)
        if pixels is None:
            return None
        seed = int(torch.randint(2**62, (), generator=generator))
        return ClassifiedItem(self.image_ids[index], torch.from_numpy(pixels), self.targets[index], seed)

    def _load(self, index: int) -> Sample | None:
        try:
            return Sample.from_objects(self.images[index], NO_OBJECTS)
        except ImageError:
            return None  # the batch is made without it; the trainer tells


class ValidationSet(Dataset[ClassifiedItem | None]):
    """Images as they are."""

    def __init__(self, rows: Sequence[Row], targets: Tensor, preprocessing: Preprocessing) -> None:
        self.targets, self.preprocessing = targets, preprocessing
        self.images = DecodedImages(rows)
        self.image_ids = [str(row["image_url"]) for row in rows]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> ClassifiedItem | None:
        """Return image `index`; None when it cannot be read."""
        try:
            pixels, _ = preprocess(self.images[index], self.preprocessing)
        except ImageError:
            return None
        return ClassifiedItem(self.image_ids[index], torch.from_numpy(pixels), self.targets[index])


@dataclasses.dataclass(slots=True)
class ClassifiedBatch:
    """Images `(B, 3, H, W)` with targets `(B, C)`, mixed in training where that is asked for."""

    image_ids: list[str]
    images: Tensor
    targets: Tensor

    @classmethod
    def of(cls, items: Sequence[ClassifiedItem], mixing: Mixing) -> ClassifiedBatch:
        """Stack items; those of a training set are mixed, with the first one's seed."""
        images, targets = torch.stack([item.pixels for item in items]), torch.stack([item.target for item in items])
        if mixing and items[0].seed is not None:
            images, targets = mixing.apply(images, targets, items[0].seed)
        return cls([item.image_id for item in items], images, targets)

    def to(self, device: Any, **options: Any) -> ClassifiedBatch:
        """Return the batch on `device`; `options` (memory format, non-blocking) hold for the images."""
        return ClassifiedBatch(self.image_ids, self.images.to(device, **options), self.targets.to(device))

    def pin_memory(self) -> ClassifiedBatch:
        """Return the batch in page-locked memory; the DataLoader asks for it."""
        return dataclasses.replace(self, images=self.images.pin_memory())

    def split(self, parts: int) -> list[ClassifiedBatch]:
        """Cut into at most `parts` batches of about equal size."""
        size = -(-len(self) // parts)
        cuts = range(0, len(self), size)
        return [
            ClassifiedBatch(self.image_ids[i : i + size], self.images[i : i + size], self.targets[i : i + size])
            for i in cuts
        ]

    def __len__(self) -> int:
        return len(self.image_ids)
