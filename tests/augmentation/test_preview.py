"""The picture of a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from automl_images.augmentation.plan import AugmentationPlan, Style, augmentation_plan
from automl_images.augmentation.preview import CELL, COLUMNS, GAP, WIDTH, preview
from automl_images.augmentation.sample import Sample
from automl_images.core.errors import DataError
from automl_images.data.drawing import class_colour

MakeSample = Callable[..., Sample]
CLASSES = [f"class number {i}" for i in range(20)]


def rows_of(height: int) -> int:
    return height // (CELL + GAP)


@pytest.mark.parametrize("style", get_args(Style))
def test_grid(style: Style, make_sample: MakeSample) -> None:
    samples = [make_sample(120, 160, seed=i, masks=False) for i in range(7)]
    plan = augmentation_plan(style)
    page = preview(samples.__getitem__, 7, plan, CLASSES, images=6, seed=1)
    assert page.width == WIDTH == COLUMNS * (CELL + GAP) + GAP
    assert rows_of(page.height) == 2
    again = preview(samples.__getitem__, 7, plan, CLASSES, images=6, seed=1)
    assert np.array_equal(np.asarray(page), np.asarray(again))
    other = preview(samples.__getitem__, 7, plan, CLASSES, images=6, seed=2)
    assert np.asarray(page).shape != np.asarray(other).shape or not np.array_equal(np.asarray(page), np.asarray(other))


def test_first_column_shows_the_image_with_its_boxes(make_sample: MakeSample) -> None:
    sample = make_sample(CELL, CELL, count=1, seed=3, masks=False)
    page = np.asarray(preview(lambda _: sample, 1, AugmentationPlan(), CLASSES, images=1))
    cell = page[-CELL - GAP : -GAP, GAP : GAP + CELL]
    colour = class_colour(int(sample.labels[0]))
    x0, y0, _, y1 = (int(v) for v in sample.boxes[0])
    assert (cell[(y0 + y1) // 2, x0 + 1] == colour).all()
    second = page[-CELL - GAP : -GAP, 2 * GAP + CELL : 2 * GAP + 2 * CELL]
    assert np.array_equal(cell, second), "without augmentation all columns are the same"


def test_images_with_objects_come_first_and_unreadable_ones_are_left_out(make_sample: MakeSample) -> None:
    empty, full = make_sample(50, 60, count=0, masks=False), make_sample(50, 60, seed=5, masks=False)
    samples: list[Sample | None] = [None, empty, None, full, empty]
    page = preview(samples.__getitem__, 5, AugmentationPlan(), CLASSES, images=3)
    alone = preview(lambda _: full, 1, AugmentationPlan(), CLASSES, images=3)
    assert np.array_equal(np.asarray(page), np.asarray(alone))


def test_a_dropped_mosaic_is_shown_as_such(make_sample: MakeSample) -> None:
    samples = [make_sample(50, 60, masks=False), None, None, None, None]
    page = preview(samples.__getitem__, 5, augmentation_plan("mosaic"), CLASSES, images=3)
    assert rows_of(page.height) == 1


def test_nothing_to_show() -> None:
    with pytest.raises(DataError, match="None of the 4 training images can be read"):
        preview(lambda _: None, 4, AugmentationPlan(), CLASSES)


def test_masks_are_drawn_translucent(make_shapes: MakeSample) -> None:
    sample = make_shapes(CELL, CELL, count=1, seed=3)
    page = np.asarray(preview(lambda _: sample, 1, AugmentationPlan(), CLASSES, images=1))
    cell = page[-CELL - GAP : -GAP, GAP : GAP + CELL].astype(int)
    mask = sample.to_objects().masks[0]  # type: ignore[index]
    tinted = (cell != 255).any(axis=2) & (cell != 0).any(axis=2)
    assert tinted[mask].all()
    assert tinted[~mask].mean() < 0.1, "the box and its label"


def captioned(sample: Sample, text: str | None) -> np.ndarray:
    captions = None if text is None else lambda _: text
    return np.asarray(preview(lambda _: sample, 1, AugmentationPlan(), [], images=1, captions=captions))


@pytest.mark.parametrize("text", ["can", "can, carton, milk_bottle " * 40, "w" * 300, ""])
def test_captions_stand_on_the_original(text: str, make_sample: MakeSample) -> None:
    sample = make_sample(CELL, CELL, count=0, masks=False)
    page, plain_page = captioned(sample, text), captioned(sample, None)
    changed = np.argwhere((page != plain_page).any(axis=2))
    left, top = GAP, page.shape[0] - CELL - GAP
    assert (changed[:, 1] >= left).all()
    assert (changed[:, 1] < left + CELL).all()
    assert (changed[:, 0] >= top + CELL * 3 // 4).all(), "most of the picture is free"
    assert (changed[:, 0] < top + CELL).all()
    white = (page == 255).all(axis=2) & ~(plain_page == 255).all(axis=2)
    assert white.any() == bool(text)


def test_captions_are_those_of_their_images(make_sample: MakeSample) -> None:
    samples = [make_sample(60, 60, count=0, masks=False) for _ in range(20)]
    asked: list[int] = []
    read: list[int] = []

    def load(index: int) -> Sample:
        read.append(index)
        return samples[index]

    preview(load, 20, AugmentationPlan(), [], images=9, captions=lambda i: str(asked.append(i)))
    assert len(set(asked)) == 3
    assert set(asked) == set(read), "no image is read only to look for objects"
