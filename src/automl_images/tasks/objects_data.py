"""What a detector is trained and judged on: rows become augmented samples, pieces of images and batches.

Shared by the tasks whose labels are objects; where the labels are polygons the objects carry masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from automl_images.augmentation.build import Augmentation
from automl_images.augmentation.sample import Sample
from automl_images.core.types import ImageArray, Objects, Preprocessing, Row
from automl_images.data.images import ImageError, read_image
from automl_images.data.masks import canvas_size
from automl_images.data.mltable import objects_from_row
from automl_images.data.preprocessing import Placement, preprocess, resize_masks
from automl_images.data.tiling import objects_in_tile, tiles
from automl_images.models.base import Target
from automl_images.tasks.samples import DecodedImages, generator_of_sample

SQUARE = 1.1
"""Ratio of sides up to which an image counts as square when batches are made."""

Grid = tuple[int, int] | None
Tile = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Annotated:
    """Rows read as images with their objects.

    Attributes:
        class_index: class name to label.
        masks: objects carry masks; images whose masks would take too much memory are then shrunk.
    """

    class_index: Mapping[str, int]
    masks: bool = False

    def size(self, row: Row) -> tuple[int, int]:
        """Return width and height of a row's image as `image` gives it, pixels."""
        width, height = int(row["image_details"]["width"]), int(row["image_details"]["height"])
        return canvas_size(width, height, len(row["label"])) if self.masks else (width, height)

    def image(self, image: ImageArray, row: Row) -> ImageArray:
        """Return the image of a row in the size that is worked with."""
        height, width = image.shape[:2]
        wanted = canvas_size(width, height, len(row["label"]))
        if not self.masks or wanted == (width, height):
            return image
        return np.asarray(Image.fromarray(image).resize(wanted, Image.Resampling.BILINEAR, reducing_gap=3.0))

    def objects(self, row: Row, image: ImageArray) -> Objects:
        """Return the objects of a row in pixels of its image."""
        return objects_from_row(row, self.class_index, image.shape[1], image.shape[0], masks=self.masks)

    def sample(self, row: Row, image: ImageArray) -> Sample:
        """Return the sample of a row and its image as it was read."""
        image = self.image(image, row)
        return Sample.from_objects(image, self.objects(row, image))


@dataclasses.dataclass(slots=True)
class Piece:
    """An image or a tile of it, ready for the network.

    Attributes:
        pixels: `(3, H, W)` float32.
        target: in pixels of `pixels`.
        placement: from the piece to `pixels` and back; left, top: of the piece in its image.
    """

    pixels: Tensor
    target: Target
    placement: Placement
    left: int = 0
    top: int = 0


@dataclasses.dataclass(slots=True)
class DetectionItem:
    """One element of a data set: pieces of one image (in training always one) and its ground truth."""

    image_id: str
    pieces: list[Piece]
    truth: Objects


class TrainingSet(Dataset[DetectionItem | None]):
    """Augmented samples: `set[(epoch, index)]`; the same key always gives the same sample.

    With tiling an image stands for itself and for each of its tiles that holds an object.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        annotated: Annotated,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        seed: int,
        grid: Grid = None,
        overlap: float = 0.25,
    ) -> None:
        self.rows, self.annotated = rows, annotated
        self.augmentation, self.preprocessing, self.seed = augmentation, preprocessing, seed
        self.images = DecodedImages(rows)
        self.elements = [e for i, row in enumerate(rows) for e in self._elements(i, row, grid, overlap)]
        self.image_ids = [str(rows[index]["image_url"]) for index, _ in self.elements]
        pads = preprocessing.resize == "shorter_side"  # to the largest of the batch; all else gives squares of one size
        self.shape_groups = [self._shape_group(*element) for element in self.elements] if pads else []

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, key: tuple[int, int]) -> DetectionItem | None:
        """Return sample `index` of `epoch`; None when an image it needs cannot be read."""
        epoch, index = key
        generator = generator_of_sample(self.seed, epoch, index)
        sample = self.augmentation(self._load, index, len(self), generator)
        if sample is None:
            return None
        image = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
        objects = sample.to_objects()
        piece = _piece(image, _without_crowd(objects), self.preprocessing)
        return DetectionItem(self.image_ids[index], [piece], objects)

    def _shape_group(self, index: int, tile: Tile | None) -> int:
        """Return -1 for what is higher than wide, 0 for squares, 1 for what is wider."""
        left, top, right, bottom = tile or (0, 0, *self.annotated.size(self.rows[index]))
        ratio = (right - left) / max(1, bottom - top)
        return int(ratio > SQUARE) - int(ratio < 1 / SQUARE)

    def _elements(self, index: int, row: Row, grid: Grid, overlap: float) -> list[tuple[int, Tile | None]]:
        whole: list[tuple[int, Tile | None]] = [(index, None)]
        if grid is None or not row["label"]:
            return whole
        width, height = self.annotated.size(row)
        objects = objects_from_row(row, self.annotated.class_index, width, height)
        cut = [tuple(int(v) for v in tile) for tile in tiles(width, height, grid, overlap)]
        return whole + [(index, tile) for tile in cut if len(objects_in_tile(objects, tile))]  # type: ignore[misc]

    def _load(self, index: int) -> Sample | None:
        row_index, tile = self.elements[index]
        try:
            image = self.annotated.image(self.images[row_index], self.rows[row_index])
        except ImageError:
            return None  # the batch is made without it; the trainer tells
        objects = self.annotated.objects(self.rows[row_index], image)
        if tile is not None:
            left, top, right, bottom = tile
            image, objects = image[top:bottom, left:right], objects_in_tile(objects, tile)
        return Sample.from_objects(image, objects)


class ValidationSet(Dataset[DetectionItem | None]):
    """Images as they are, with their tiles when there is a grid."""

    def __init__(
        self,
        rows: Sequence[Row],
        annotated: Annotated,
        preprocessing: Preprocessing,
        grid: Grid = None,
        overlap: float = 0.25,
    ) -> None:
        self.rows, self.annotated, self.preprocessing = rows, annotated, preprocessing
        self.grid, self.overlap = grid, overlap
        self.image_ids = [str(row["image_url"]) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> DetectionItem | None:
        """Return image `index`; None when it cannot be read."""
        row = self.rows[index]
        try:
            image = self.annotated.image(read_image(row["image_url"]), row)
        except ImageError:
            return None
        height, width = image.shape[:2]
        truth = self.annotated.objects(row, image)
        pieces = [_piece(image, _without_crowd(truth), self.preprocessing)]
        for tile in tiles(width, height, self.grid, self.overlap) if self.grid else ():
            left, top, right, bottom = (int(v) for v in tile)
            inside = _without_crowd(objects_in_tile(truth, tile))
            pieces.append(_piece(image[top:bottom, left:right], inside, self.preprocessing, left, top))
        return DetectionItem(self.image_ids[index], pieces, truth)


@dataclasses.dataclass(slots=True)
class DetectionBatch:
    """Images of some items, padded at the right and bottom to a common size.

    Attributes:
        items: where the pieces come from.
        images: `(P, 3, H, W)`; sizes: `(P, 2)` height and width without padding; targets: one a piece.
    """

    items: list[DetectionItem]
    images: Tensor
    sizes: Tensor
    targets: list[Target]

    @classmethod
    def of(cls, items: Sequence[DetectionItem]) -> DetectionBatch:
        """Pad and stack the pieces of items."""
        pieces = [piece for item in items for piece in item.pieces]
        sizes = torch.tensor([piece.pixels.shape[-2:] for piece in pieces])
        height, width = sizes.amax(0).tolist()
        images = torch.zeros(len(pieces), 3, height, width)
        for image, piece in zip(images, pieces, strict=True):
            image[:, : piece.pixels.shape[1], : piece.pixels.shape[2]] = piece.pixels
        return cls(list(items), images, sizes, [piece.target for piece in pieces])

    @property
    def image_ids(self) -> list[str]:
        """Return the paths of the images."""
        return [item.image_id for item in self.items]

    def to(self, device: Any, **options: Any) -> DetectionBatch:
        """Return the batch on `device`; `options` (memory format, non-blocking) hold for the images."""
        moved = [{name: value.to(device) for name, value in target.items()} for target in self.targets]
        return DetectionBatch(self.items, self.images.to(device, **options), self.sizes.to(device), moved)

    def pin_memory(self) -> DetectionBatch:
        """Return the batch in page-locked memory; the DataLoader asks for it."""
        return dataclasses.replace(self, images=self.images.pin_memory())

    def split(self, parts: int) -> list[DetectionBatch]:
        """Cut into at most `parts` batches of about equal size."""
        size = -(-len(self.items) // parts)
        return [DetectionBatch.of(self.items[i : i + size]) for i in range(0, len(self.items), size)]

    def __len__(self) -> int:
        return len(self.items)


def _piece(image: ImageArray, objects: Objects, p: Preprocessing, left: int = 0, top: int = 0) -> Piece:
    pixels, placement = preprocess(image, p)
    target = {
        "boxes": torch.from_numpy(placement.to_input(objects.boxes).astype(np.float32)),
        "labels": torch.from_numpy(objects.labels),
    }
    if objects.masks is not None:
        target["masks"] = torch.from_numpy(resize_masks(objects.masks, placement, *pixels.shape[1:]))
    return Piece(torch.from_numpy(pixels), target, placement, left, top)


def _without_crowd(objects: Objects) -> Objects:
    keep = ~objects.crowd
    masks = None if objects.masks is None else objects.masks[keep]
    return Objects(objects.boxes[keep], objects.labels[keep], objects.crowd[keep], masks)
