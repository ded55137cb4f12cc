"""Pictures whose objects can be recognised afterwards: every object is a rectangle in the colour of its label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from automl_images.augmentation.sample import Sample
from automl_images.core.types import Objects
from automl_images.data.drawing import class_colour
from automl_images.data.masks import mask_boxes

MakeSample = Callable[..., Sample]


def painted_sample(height: int, width: int, count: int = 3, seed: int = 0, masks: bool = True) -> Sample:
    """Return a black image with up to `count` rectangles, none over another; the label names the colour."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    boxes, labels = [], []
    for column in range(count):  # one rectangle a column
        low, high = width * column // count, width * (column + 1) // count
        if high - low < 4 or height < 4:
            continue
        x0, y0 = rng.integers(low, high - 3), rng.integers(0, height - 3)
        x1, y1 = rng.integers(x0 + 3, high + 1), rng.integers(y0 + 3, height + 1)
        label = int(rng.integers(0, 20))
        image[y0:y1, x0:x1] = class_colour(label)
        boxes.append((x0, y0, x1, y1))
        labels.append(label)
    drawn = np.zeros((len(boxes), height, width), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(drawn, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    objects = Objects(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(labels, np.int64),
        np.arange(len(boxes)) % 2 == 1,
        drawn if masks else None,
    )
    return Sample.from_objects(image, objects)


def shaped_sample(height: int, width: int, count: int = 3, seed: int = 0) -> Sample:
    """Return a black image with up to `count` white corners (L) or rings, none beside another's columns."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] + 0.5
    masks = []
    for column in range(count):
        centre = width * (column + 0.5) / count, height * rng.uniform(0.3, 0.7)
        half = width / count * rng.uniform(0.3, 0.48), height * rng.uniform(0.2, 0.3)
        across, down = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
        if rng.random() < 0.5:
            distance = np.hypot(across, down)
            masks.append((distance < 1) & (distance > 0.4))
        else:
            masks.append((np.maximum(abs(across), abs(down)) < 1) & ((across < -0.2) | (down < -0.2)))
    drawn = np.asarray([mask for mask in masks if mask.any()], np.bool_).reshape(-1, height, width)
    image = np.repeat(drawn.any(axis=0)[:, :, None], 3, axis=2).astype(np.uint8) * 255
    labels = np.arange(len(drawn))
    return Sample.from_objects(image, Objects(mask_boxes(drawn), labels, labels % 2 == 1, drawn))


@pytest.fixture
def make_shapes() -> MakeSample:
    return shaped_sample


@pytest.fixture
def make_sample() -> MakeSample:
    return painted_sample
