import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_images.core.types import Preprocessing
from automl_images.data.preprocessing import normalise, preprocess, resized_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORTER = Preprocessing("shorter_side", 60, 133, 32, (10.0, 20.0, 30.0), MEAN, STD)
LETTERBOX = Preprocessing("letterbox", 64, 64)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(120, 60, (120, 60)), (30, 40, (60, 80)), (100, 400, (33, 133)), (1000, 10, (133, 1)), (1, 1, (60, 60))],
)
def test_shorter_side_obeys_both_limits(width, height, expected):
    assert resized_size(width, height, SHORTER) == expected


@pytest.mark.parametrize(
    ("width", "height", "size", "left", "top"),
    [(320, 240, (64, 48), 0, 8), (16, 32, (32, 64), 16, 0), (64, 64, (64, 64), 0, 0)],
)
def test_letterbox_is_centred_and_also_scales_up(width, height, size, left, top):
    out, placement = preprocess(noise(height, width), LETTERBOX)
    assert out.shape == (3, 64, 64)
    assert resized_size(width, height, LETTERBOX) == size
    assert (placement.left, placement.top) == (left, top)
    grey = np.float32(114 / 255)
    canvas = np.full((3, 64, 64), grey)
    inside = np.s_[:, top : top + size[1], left : left + size[0]]
    canvas[inside] = out[inside]
    np.testing.assert_allclose(out, canvas, atol=1e-6)


def test_padding_is_at_the_right_and_bottom_and_is_the_normalised_fill():
    out, placement = preprocess(noise(60, 100), SHORTER)
    assert out.shape == (3, 64, 128)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert (placement.left, placement.top) == (0, 0)
    fill = (np.asarray(SHORTER.fill) / 255 - MEAN) / STD
    np.testing.assert_allclose(out[:, 60:, :], np.broadcast_to(fill[:, None, None], (3, 4, 128)), atol=1e-5)
    np.testing.assert_allclose(out[:, :, 100:], np.broadcast_to(fill[:, None, None], (3, 64, 28)), atol=1e-5)


def test_values_are_normalised_by_the_formula_where_nothing_is_resized():
    image = noise(64, 96)
    p = Preprocessing("shorter_side", 64, 200, 32, mean=MEAN, std=STD)
    expected = ((image / 255.0 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(preprocess(image, p)[0], expected, atol=1e-5)
    np.testing.assert_allclose(normalise(image, p), expected, atol=1e-5)


def test_reducing_averages_rather_than_picks_pixels():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    out, _ = preprocess(stripes, LETTERBOX)
    assert abs(float(out.mean()) - 0.5) < 0.01
    assert float(out.std()) < 0.1


def test_an_image_that_is_a_view_gives_the_same_as_its_copy():
    image = noise(80, 120)[:, ::-1]
    np.testing.assert_array_equal(preprocess(image, SHORTER)[0], preprocess(image.copy(), SHORTER)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([SHORTER, LETTERBOX]), st.data())
def test_boxes_come_back(width, height, p, data):
    out, placement = preprocess(np.zeros((height, width, 3), np.uint8), p)
    unit = st.floats(0, 1, width=32)
    draws = [[data.draw(unit) for _ in range(4)] for _ in range(data.draw(st.integers(0, 4)))]
    x0, y0, x1, y1 = np.asarray(draws, np.float32).reshape(-1, 4).T
    boxes = np.stack(
        [
            np.minimum(x0, x1) * width,
            np.minimum(y0, y1) * height,
            np.maximum(x0, x1) * width,
            np.maximum(y0, y1) * height,
        ],
        axis=1,
    )
    inside = placement.to_input(boxes)
    assert inside.dtype == np.float32
    assert (inside >= -1e-3).all()
    assert (inside[:, [0, 2]] <= out.shape[2] + 1e-3).all()
    assert (inside[:, [1, 3]] <= out.shape[1] + 1e-3).all()
    np.testing.assert_allclose(placement.to_image(inside), boxes, atol=1e-3 * max(width, height))


def test_a_mark_lies_where_its_box_says():
    image = np.zeros((240, 320, 3), np.uint8)
    image[60:120, 160:240] = 255
    out, placement = preprocess(image, LETTERBOX)
    x0, y0, x1, y1 = placement.to_input(np.asarray([[160, 60, 240, 120]], np.float32))[0]
    ys, xs = np.nonzero(out[0] > 0.9)
    np.testing.assert_allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], [x0, y0, x1, y1], atol=1.01)


def test_boxes_outside_are_clipped_to_the_image():
    _, placement = preprocess(noise(240, 320), LETTERBOX)
    found = placement.to_image(np.asarray([[-10, -10, 64, 64]], np.float32))
    np.testing.assert_array_equal(found, [[0, 0, 320, 240]])
