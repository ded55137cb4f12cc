"""Boxes on pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from automl_images.data.drawing import class_colour, draw_boxes, draw_masks, text_colour


def grey(height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_edges_have_the_class_colour_and_the_input_is_kept() -> None:
    image = grey()
    drawn = draw_boxes(image, [[50, 60, 150, 160]], [""], colours=[(255, 0, 0)])
    assert (image == 128).all()
    assert drawn.dtype == np.uint8
    assert drawn.flags.writeable
    for y, x in ((60, 100), (160, 100), (110, 50), (110, 150)):
        assert tuple(drawn[y, x]) == (255, 0, 0)
    assert tuple(drawn[110, 100]) == (128, 128, 128), "boxes are not filled"
    assert (drawn[:55] == 128).all(), "no label without a name"


def test_no_boxes() -> None:
    assert np.array_equal(draw_boxes(grey(), np.zeros((0, 4)), []), grey())


def test_the_name_stands_above_its_box_in_the_box_colour() -> None:
    drawn = draw_boxes(grey(), [[50, 60, 150, 160]], ["cat"], colours=[(0, 90, 0)])
    above = drawn[40:58, 52:70].reshape(-1, 3)
    assert (above == (0, 90, 0)).all(axis=1).mean() > 0.3
    assert (above > 180).all(axis=1).any(), "white letters on dark green"


def test_scores_are_written_behind_the_name() -> None:
    boxes, names, colours = [[50, 60, 250, 160]], ["cat"], [(0, 90, 0)]
    without = draw_boxes(grey(), boxes, names, colours=colours)
    with_score = draw_boxes(grey(), boxes, names, [0.87], colours)
    assert (with_score == (0, 90, 0)).all(axis=2).sum() > (without == (0, 90, 0)).all(axis=2).sum()


def test_labels_of_two_equal_boxes_do_not_hide_each_other() -> None:
    colours = [(200, 0, 0), (0, 0, 200)]
    drawn = draw_boxes(grey(), [[80, 60, 200, 140]] * 2, ["first", "second"], colours=colours)
    counts = [(drawn == colour).all(axis=2).sum() for colour in colours]
    assert min(counts) > 300, "each has its own chip"


def test_same_name_same_colour_whatever_else_is_there() -> None:
    drawn = draw_boxes(grey(), [[10, 90, 40, 120], [60, 90, 90, 120], [110, 90, 140, 120]], ["b", "a", "b"])
    assert tuple(drawn[105, 10]) == tuple(drawn[105, 110]) == class_colour(1)
    assert tuple(drawn[105, 60]) == class_colour(0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 50), (50, 2), (8, 8), (1500, 2000)])
def test_any_size_of_picture_and_any_box(height: int, width: int) -> None:
    boxes = [[-50, -50, 5000, 5000], [0, 0, 1, 1], [3000, 3000, 3001, 3001], [5, 5, 2, 2]]
    names = ["a name that is longer than the picture is wide", "x", "", "Ägypten"]
    drawn = draw_boxes(grey(height, width), boxes, names, [0.1, 0.2, 0.3, 1.0])
    assert drawn.shape == (height, width, 3)


def test_colours_keep_apart() -> None:
    colours = [class_colour(i) for i in range(60)]
    assert len(set(colours)) == 60
    closest = min(np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(colours[:20], 2))
    assert closest > 60
    assert text_colour((255, 255, 0)) == (0, 0, 0)
    assert text_colour((0, 0, 120)) == (255, 255, 255)


def test_masks_are_translucent_with_a_full_outline() -> None:
    image = grey()
    masks = np.zeros((1, 200, 300), np.bool_)
    masks[0, 50:150, 100:200] = True
    masks[0, 80:120, 130:170] = False
    drawn = draw_masks(image, masks, [(228, 28, 128)], alpha=0.25)
    assert (image == 128).all()
    assert (drawn[~masks[0]] == 128).all(), "nothing outside, nor in the hole"
    assert (drawn[60:70, 110:190] == (153, 103, 128)).all()
    for y, x in ((50, 150), (149, 150), (100, 100), (100, 199), (79, 150), (100, 129)):
        assert tuple(drawn[y, x]) == (228, 28, 128)


def test_small_masks_lie_above_large_ones_and_may_be_of_another_size() -> None:
    masks = np.zeros((3, 20, 30), np.bool_)
    masks[0, 8:12, 10:20] = True
    masks[1, 2:18, 2:28] = True
    drawn = draw_masks(grey(), masks, [(255, 0, 0), (0, 0, 255), (0, 255, 0)], alpha=1)
    assert (drawn[80:120, 100:200] == (255, 0, 0)).all()
    assert (drawn[20:80, 20:280] == (0, 0, 255)).all()
    assert (drawn[:20] == 128).all()


def test_no_masks() -> None:
    assert np.array_equal(draw_masks(grey(), np.zeros((0, 200, 300), np.bool_), []), grey())
