import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from automl_images.data.masks import (
    MAX_CANVAS,
    MAX_PIXELS,
    canvas_size,
    mask_boxes,
    paste,
    rasterise,
)

SQUARE = [0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9]
INNER = [0.3, 0.3, 0.7, 0.3, 0.7, 0.7, 0.3, 0.7]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((2048, 1024), (2048, 1024)),
        ((4000, 3000), (1672, 1254)),
        ((1, 10**8), (1, MAX_CANVAS)),
        ((10**8, 1), (MAX_CANVAS, 1)),
        ((10**7, 2), (MAX_CANVAS, 1)),
    ],
)
def test_canvas(size, expected):
    assert canvas_size(*size) == expected
    assert expected[0] * expected[1] <= MAX_CANVAS


def test_many_masks_of_one_image_are_made_smaller_together():
    assert canvas_size(1400, 1400, 255) == (1400, 1400)
    width, height = canvas_size(1400, 1400, 300)
    assert width == height == 1290
    assert 300 * width * height <= MAX_PIXELS
    assert canvas_size(10, 10, 10**9) == (1, 1)


corner = st.floats(0, 1) | st.integers(0, 100).map(lambda v: v / 100)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(corner, corner), min_size=3, max_size=12), st.integers(1, 120), st.integers(1, 120))
def test_one_segment_is_filled_as_by_pycocotools(points, width, height):
    flat = [value for point in points for value in point]
    pixels = [(np.array(flat).reshape(-1, 2) * (width, height)).ravel().tolist()]
    expected = coco_mask.decode(coco_mask.frPyObjects(pixels, height, width)[0])
    mask = rasterise([flat], width, height)
    assert mask.dtype == bool
    assert (mask == expected.astype(bool)).all()


def test_an_inner_segment_is_a_hole_and_its_filling_an_island():
    assert rasterise([SQUARE], 100, 100).sum() == 80 * 80
    assert rasterise([SQUARE, INNER], 100, 100).sum() == 80 * 80 - 40 * 40
    assert not rasterise([SQUARE, INNER], 100, 100)[50, 50]
    assert rasterise([SQUARE, INNER, INNER], 100, 100)[50, 50]
    assert rasterise([[0, 0, 0.2, 0, 0.2, 0.2], [0.8, 0.8, 1, 0.8, 1, 1]], 100, 100)[[5, 85], [15, 95]].all()
    assert not rasterise([], 10, 20).any()
    assert rasterise([], 10, 20).shape == (20, 10)


def test_large_images_are_filled_on_a_smaller_canvas():
    mask = rasterise([SQUARE], 20_000, 10_000)
    assert mask.shape == (1024, 2048)
    assert mask.mean() == pytest.approx(0.64, abs=0.002)


@pytest.mark.parametrize("seed", range(30))
def test_pasting_is_torchvisions(seed):
    rng = np.random.default_rng(seed)
    count, side = seed % 6, int(rng.choice([14, 28]))
    width, height = rng.integers(1, 300, 2).tolist()
    grids = rng.random((count, side, side), np.float32)
    corners = np.stack([rng.random((count, 2)) * 0.8 - 0.3, rng.random((count, 2)) * 0.8 + 0.5], 1)
    boxes = (corners.reshape(-1, 4) * [width, height, width, height]).astype(np.float32)
    masks = paste(grids, boxes, width, height, 0.5)
    assert masks.shape == (count, height, width)
    expected = paste_masks_in_image(torch.from_numpy(grids)[:, None], torch.from_numpy(boxes), (height, width))
    values = expected[:, 0].numpy()
    different = (values > 0.5) != masks
    assert (np.abs(values[different] - 0.5) < 1e-5).all()


def test_pasting_beside_the_image_and_onto_a_smaller_canvas():
    ones = np.ones((4, 28, 28), np.float32)
    boxes = np.array([[-50, -50, -20, -20], [200, 0, 300, 40], [-1e9, -1e9, 1e9, 1e9], [5, 5, 5, 5]], np.float32)
    masks = paste(ones, boxes, 100, 50, 0.5)
    assert masks.sum(axis=(1, 2)).tolist() == [0, 0, 5000, 1]
    large = paste(ones[:1], np.array([[2000, 1000, 6000, 3000]], np.float32), 8000, 4000, 0.5)
    assert large.shape == (1, 1024, 2048)
    assert mask_boxes(large)[0] / (2048, 1024, 2048, 1024) == pytest.approx([0.25, 0.25, 0.75, 0.75], abs=0.002)


def test_a_higher_threshold_gives_smaller_masks():
    rng = np.random.default_rng(0)
    grid, box = rng.random((1, 28, 28), np.float32), np.array([[10, 10, 90, 90]], np.float32)
    sizes = [paste(grid, box, 100, 100, threshold).sum() for threshold in (0.0, 0.3, 0.5, 0.7, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0


def test_boxes_of_masks():
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 5:8, 10:30] = True
    masks[1, 19, 0] = True
    boxes = mask_boxes(masks)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[10, 5, 30, 8], [0, 19, 1, 20], [0, 0, 0, 0]]
    assert mask_boxes(masks[:0]).shape == (0, 4)
