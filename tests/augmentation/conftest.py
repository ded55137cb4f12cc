"""Pictures whose objects can be recognised afterwards: every object is a rectangle in the colour of its label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from automl_images.augmentation.sample import Sample
from automl_images.core.types import Objects
from automl_images.data.drawing import class_colour

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


@pytest.fixture
def make_sample() -> MakeSample:
    return painted_sample
