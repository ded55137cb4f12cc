import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from automl_images.core.types import Preprocessing
from automl_images.data.masks import canvas_size
from automl_images.data.preprocessing import normalise, preprocess, resize_masks, resized_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORTER = Preprocessing("shorter_side", 60, 133, 32, (10.0, 20.0, 30.0), MEAN, STD)
LETTERBOX = Preprocessing("letterbox", 64, 64)
CENTRE_CROP = Preprocessing("centre_crop", 73, 64, fill=(10.0, 20.0, 30.0))
PADDED_CROP = Preprocessing("centre_crop", 50, 64, fill=(10.0, 20.0, 30.0))
STRETCH = Preprocessing("stretch", 64, 64, interpolation="bicubic")
ALL = [SHORTER, LETTERBOX, CENTRE_CROP, PADDED_CROP, STRETCH]


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
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(ALL), st.data())
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
    if p.resize != "centre_crop":
        assert (inside >= -1e-3).all()
        assert (inside[:, [0, 2]] <= out.shape[2] + 1e-3).all()
        assert (inside[:, [1, 3]] <= out.shape[1] + 1e-3).all()
    np.testing.assert_allclose(placement.to_image(inside), boxes, atol=1e-3 * max(width, height))


@pytest.mark.parametrize("p", ALL)
def test_a_mark_lies_where_its_box_says(p):
    image = np.zeros((240, 320, 3), np.uint8)
    image[60:120, 160:240] = 255
    out, placement = preprocess(image, p)
    x0, y0, x1, y1 = placement.to_input(np.asarray([[160, 60, 240, 120]], np.float32))[0]
    ys, xs = np.nonzero(out[0] > 0.6 * out[0].max())
    np.testing.assert_allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], [x0, y0, x1, y1], atol=1.01)


def test_boxes_outside_are_clipped_to_the_image():
    _, placement = preprocess(noise(240, 320), LETTERBOX)
    found = placement.to_image(np.asarray([[-10, -10, 64, 64]], np.float32))
    np.testing.assert_array_equal(found, [[0, 0, 320, 240]])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (64, 64), (40, 57), (91, 80)])
@pytest.mark.parametrize(("width", "height"), [(160, 120), (97, 131), (64, 64), (50, 64), (33, 200), (200, 90)])
def test_centre_crop_is_that_of_torchvision(width, height, resize, crop, interpolation):
    image = np.asarray(
        Image.fromarray(noise(height // 8, width // 8)).resize((width, height), Image.Resampling.BICUBIC)
    )
    p = Preprocessing("centre_crop", resize, crop, fill=(0, 0, 0), interpolation=interpolation)
    reference = v2.Compose([v2.Resize(resize, v2.InterpolationMode(interpolation)), v2.CenterCrop(crop)])
    expected = np.asarray(reference(Image.fromarray(image)), np.float32).transpose(2, 0, 1) / 255
    out, placement = preprocess(image, p)
    assert np.abs(out - expected).max() <= 2.01 / 255, "rounding: Pillow may choose another order of its two passes"
    new_width, new_height = resized_size(width, height, p)
    assert abs(placement.left + new_width / 2 - crop / 2) <= 0.5
    assert abs(placement.top + new_height / 2 - crop / 2) <= 0.5


def test_centre_crop_pads_with_the_fill_and_cuts_the_other_side():
    out, placement = preprocess(np.full((100, 300, 3), 255, np.uint8), PADDED_CROP)  # 150 x 50 of 64 x 64
    assert (placement.left, placement.top) == (-43, 7)
    assert placement.scale_x == placement.scale_y == 0.5
    np.testing.assert_allclose(out[:, 7:57], 1)
    fill = np.asarray(PADDED_CROP.fill, np.float32)[:, None, None] / 255
    np.testing.assert_allclose(out[:, :7], np.broadcast_to(fill, (3, 7, 64)), atol=1e-6)
    np.testing.assert_allclose(out[:, 57:], np.broadcast_to(fill, (3, 7, 64)), atol=1e-6)
    boxes = np.asarray([[120, 20, 180, 80]], np.float32)
    np.testing.assert_allclose(placement.to_input(boxes), [[17, 17, 47, 47]])


@pytest.mark.parametrize(("width", "height"), [(60_000, 2), (2, 60_000)])
def test_a_panorama_is_not_blown_up(width, height):  # all of it resized would be 60,000,000 x 2000 pixels
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2 :, width // 2 :] = 255
    out, placement = preprocess(image, Preprocessing("centre_crop", 2000, 224))
    assert out.shape == (3, 224, 224)
    assert placement.scale_x == placement.scale_y == 1000
    assert out[0, 0, 0] < out[0, -1, -1]


def test_stretch_fills_the_square_whatever_the_shape():
    out, placement = preprocess(noise(120, 400), STRETCH)
    assert out.shape == (3, 64, 64)
    assert (placement.left, placement.top) == (0, 0)
    np.testing.assert_allclose(placement.to_input(np.asarray([[0, 0, 400, 120]], np.float32)), [[0, 0, 64, 64]])


def test_interpolation_is_what_was_asked_for():
    image = noise(120, 90)
    for name, resample in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        p = Preprocessing("stretch", 64, 64, interpolation=name)
        expected = np.asarray(Image.fromarray(image).resize((64, 64), resample), np.float32).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(preprocess(image, p)[0], expected, atol=1e-6)


def rings(height, width):
    """Return two masks that reach the image's edges and have holes."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5)
    return np.stack([(distance < 0.45) & (distance > 0.2), x < width * 0.3])


@pytest.mark.parametrize("p", ALL)
@pytest.mark.parametrize(("width", "height"), [(160, 120), (97, 231), (40, 40), (2100, 1400)])
def test_masks_lie_on_their_pixels(p, width, height):
    masks = rings(*canvas_size(width, height)[::-1])
    full = rings(height, width)
    for mask, image in zip(masks, full, strict=True):
        pixels = np.repeat(image[:, :, None], 3, axis=2).astype(np.uint8) * 255
        out, placement = preprocess(pixels, p)
        found = resize_masks(mask[None], placement, *out.shape[1:])
        assert found.dtype == np.bool_
        assert found.shape == (1, *out.shape[1:])
        low, high = (normalise(np.full((1, 1, 3), v, np.uint8), p)[0, 0, 0] for v in (0, 255))
        wrong = found[0] != (out[0] > (low + high) / 2)
        inside = np.zeros_like(wrong)
        x0, y0, x1, y1 = np.clip(placement.to_input(np.asarray([[0, 0, width, height]], np.float32))[0], 0, 133)
        inside[round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))] = True
        assert not found[0][~inside].any()
        edges = np.gradient(out[0])
        assert not (wrong & inside & (np.abs(edges[0]) + np.abs(edges[1]) < 1e-3)).any(), "away from the edges"
        assert (wrong & inside).sum() <= 0.02 * inside.sum()


def test_no_masks():
    _, placement = preprocess(noise(120, 160), LETTERBOX)
    assert resize_masks(np.zeros((0, 120, 160), np.bool_), placement, 64, 64).shape == (0, 64, 64)
