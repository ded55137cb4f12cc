"""What each step does, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from automl_images.augmentation.canvas import GREY, IMAGENET_MEAN
from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.sample import Sample, plain
from automl_images.augmentation.steps.affine import AffineParameters, WindowParameters, centre_crop, random_affine
from automl_images.augmentation.steps.crop import CropParameters, random_crop_containing_boxes
from automl_images.augmentation.steps.expand import LARGE, ExpandParameters, random_expand
from automl_images.augmentation.steps.flip import FlipParameters, horizontal_flip
from automl_images.augmentation.steps.mosaic import MosaicParameters, mosaic
from automl_images.augmentation.steps.resize import ResizeParameters, resize_longest_side
from automl_images.core.types import Objects


def sample_with(boxes: list[list[float]], height: int = 100, width: int = 200, value: int = 200) -> Sample:
    image = np.full((height, width, 3), value, np.uint8)
    count = len(boxes)
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Sample.from_objects(image, Objects(array, np.arange(count), np.zeros(count, np.bool_)))


def no_other() -> Sample | None:
    raise AssertionError("this step needs no other sample")


def test_flip() -> None:
    sample = sample_with([[10, 20, 50, 60]])
    plain(sample.image)[:, :, :7] = 0
    found = horizontal_flip(sample, FlipParameters(), generator_for(0), no_other)
    assert found.boxes.tolist() == [[150, 20, 190, 60]]
    assert (found.array()[:, -7:] == 0).all()
    assert (found.array()[:, :-7] == 200).all()


def test_crop_contains_every_box_and_keeps_its_promises() -> None:
    sample = sample_with([[80, 40, 100, 60], [110, 50, 130, 70]])
    sizes = set()
    for seed in range(60):
        found = random_crop_containing_boxes(sample, CropParameters(), generator_for(seed), no_other)
        sizes.add((found.height, found.width))
        assert found.height * found.width >= 0.6 * 100 * 200
        assert len(found) == 2
        sides = plain(found.boxes)[:, 2:] - plain(found.boxes)[:, :2]
        assert torch.equal(sides, torch.full((2, 2), 20.0)), "no box is cut"
        if (found.height, found.width) != (100, 200):
            assert 0.5 < found.height / found.width < 2
    assert len(sizes) > 30


def test_crop_changes_nothing_where_no_rectangle_is_acceptable() -> None:
    wide = sample_with([[0, 0, 1, 1], [399, 9, 400, 10]], height=10, width=400)
    for seed in range(5):
        assert random_crop_containing_boxes(wide, CropParameters(), generator_for(seed), no_other) is wide


def test_crop_without_boxes_takes_rectangles_of_any_place() -> None:
    sample = sample_with([], height=150, width=150)
    sizes = set()
    for seed in range(40):
        found = random_crop_containing_boxes(sample, CropParameters(), generator_for(seed), no_other)
        assert found.height * found.width >= 0.6 * 150 * 150
        sizes.add((found.height, found.width))
    assert len(sizes) > 30


def test_expand_places_the_image_on_the_mean_of_imagenet() -> None:
    sample = sample_with([[0, 0, 200, 100]])
    ratios = []
    for seed in range(60):
        found = random_expand(sample, ExpandParameters(), generator_for(seed), no_other)
        ratios.append(found.width / 200)
        x0, y0, x1, y1 = (round(v) for v in plain(found.boxes)[0].tolist())
        assert (x1 - x0, y1 - y0) == (200, 100)
        array = found.array()
        assert (array[y0:y1, x0:x1] == 200).all()
        array[y0:y1, x0:x1] = IMAGENET_MEAN
        assert (array == np.asarray(IMAGENET_MEAN)).all()
        assert found.height == pytest.approx(found.width / 2, abs=1)
    assert 1 <= min(ratios) < 1.1
    assert 1.9 < max(ratios) <= 2


def test_expand_shrinks_large_images_instead_of_growing_the_canvas() -> None:
    sample = sample_with([[0, 0, 1600, 1300]], height=1300, width=1600)
    assert sample.height * sample.width > LARGE
    parameters = ExpandParameters(minimum_ratio=2, maximum_ratio=2)
    found = random_expand(sample, parameters, generator_for(0), no_other)
    assert (found.height, found.width) == (1300, 1600)
    x0, y0, x1, y1 = plain(found.boxes)[0].tolist()
    assert (x1 - x0, y1 - y0) == (800, 650)


def test_mosaic_puts_four_images_around_its_centre() -> None:
    s = 100
    others = [sample_with([[0, 0, 80, 100]], height=100, width=80, value=v) for v in (20, 30, 40)]
    for seed in range(30):
        queue = iter(others)
        first = sample_with([[0, 0, 50, 40]], height=40, width=50, value=10)  # scaled up to 80 x 100
        found = mosaic(first, MosaicParameters(size=s), generator_for(seed), lambda queue=queue: next(queue))
        assert found is not None
        assert (found.height, found.width) == (2 * s, 2 * s)
        array = found.array()[:, :, 0].astype(int)
        corners = np.argwhere(array == 40)  # the fourth image lies below and right of the centre
        y, x = corners.min(axis=0)
        assert s / 2 <= y <= 3 * s / 2
        assert s / 2 <= x <= 3 * s / 2
        assert [array[y - 1, x - 1], array[y - 1, x], array[y, x - 1], array[y, x]] == [10, 20, 30, 40]
        assert set(np.unique(array)) == {10, 20, 30, 40, GREY[0]}
        for box, value in zip(plain(found.boxes).tolist(), (10, 20, 30, 40), strict=True):
            x0, y0, x1, y1 = (round(v) for v in box)
            assert (array == value).sum() == (x1 - x0) * (y1 - y0)
            assert (array[y0:y1, x0:x1] == value).all()


def test_mosaic_is_dropped_with_an_unreadable_image() -> None:
    answers = iter([sample_with([]), None, sample_with([])])
    parameters = MosaicParameters(size=64)
    assert mosaic(sample_with([]), parameters, generator_for(0), lambda: next(answers)) is None


def test_affine_scales_around_the_centre() -> None:
    sample = sample_with([[90, 90, 130, 110]], height=200, width=200)
    double = AffineParameters(size=100, minimum_scale=2, maximum_scale=2, minimum_area=0)
    found = random_affine(sample, double, generator_for(0), no_other)  # sees [75, 125] in both directions
    assert (found.height, found.width) == (100, 100)
    assert found.boxes.tolist() == [[30, 30, 100, 70]]
    half = AffineParameters(size=100, minimum_scale=0.5, maximum_scale=0.5)
    found = random_affine(sample, half, generator_for(0), no_other)  # sees all of it
    assert found.boxes.tolist() == [[45, 45, 65, 55]]


def test_affine_fills_what_lies_outside() -> None:
    sample = sample_with([[0, 0, 100, 50]], height=50, width=100)
    parameters = AffineParameters(size=100, minimum_scale=0.5, maximum_scale=0.5)
    found = random_affine(sample, parameters, generator_for(0), no_other)
    assert len(found) == 1
    x0, y0, x1, y1 = (round(v) for v in plain(found.boxes)[0].tolist())
    assert (x1 - x0, abs(y1 - y0 - 25) <= 1) == (50, True)
    array = found.array()
    assert (array[y0:y1, x0:x1] == 200).all()
    array[y0:y1, x0:x1] = GREY
    assert (array == GREY[0]).all()


def test_affine_scales_are_uniform() -> None:
    sample = sample_with([[95, 95, 105, 105]], height=200, width=200)
    widths = []
    for seed in range(200):
        found = random_affine(sample, AffineParameters(size=100), generator_for(seed), no_other)
        widths.append(float(plain(found.boxes)[0, 2] - plain(found.boxes)[0, 0]) / 10)
    assert 0.5 <= min(widths) < 0.56
    assert 1.44 < max(widths) <= 1.51
    assert np.mean(widths) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([60, 60, 63, 63], True),
        ([60, 60, 62, 80], False),  # two pixels wide
        ([60, 60, 123, 63], False),  # 63 / 3 = 21 times as long
        ([60, 60, 117, 63], True),  # 19 times
        ([30, 60, 63, 90], True),  # 13 of 33 columns left
        ([30, 60, 52, 90], False),  # 2 columns
        ([10, 60, 60, 90], False),  # exactly a fifth is left: 10 of 50 columns
        ([10, 60, 61, 90], True),  # a little more
        ([0, 0, 40, 40], False),  # outside
    ],
)
def test_centre_crop_keeps_boxes_that_are_worth_it(box: list[float], kept: bool) -> None:
    sample = sample_with([box], height=200, width=200)
    found = centre_crop(sample, WindowParameters(size=100), generator_for(0), no_other)
    assert (len(found) == 1) is kept
    if kept:
        expected = np.clip(np.asarray(box) - 50, 0, 100)
        np.testing.assert_allclose(plain(found.boxes)[0].numpy(), expected)


def test_resize_longest_side() -> None:
    found = resize_longest_side(sample_with([[0, 0, 200, 100]]), ResizeParameters(size=50), generator_for(0), no_other)
    assert (found.height, found.width) == (25, 50)
    assert found.boxes.tolist() == [[0, 0, 50, 25]]
