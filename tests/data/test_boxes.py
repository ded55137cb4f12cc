import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from automl_images.data.boxes import box_area, box_iou, clip_boxes

corner = st.integers(0, 60)


@st.composite
def boxes(draw):
    count = draw(st.integers(0, 6))
    flat = [[draw(corner), draw(corner), draw(corner), draw(corner)] for _ in range(count)]
    return np.asarray([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in flat], np.float32).reshape(-1, 4)


def pixels(box):
    canvas = np.zeros((60, 60), bool)
    x0, y0, x1, y1 = box.astype(int)
    canvas[y0:y1, x0:x1] = True
    return canvas


@given(boxes(), boxes())
def test_iou_is_that_of_the_pixels_covered(a, b):
    found = box_iou(a, b)
    assert found.shape == (len(a), len(b))
    assert found.dtype == np.float32
    for i, p in enumerate(map(pixels, a)):
        assert box_area(a)[i] == p.sum()
        for j, q in enumerate(map(pixels, b)):
            union = (p | q).sum()
            np.testing.assert_allclose(found[i, j], (p & q).sum() / union if union else 0, rtol=1e-6)


def test_boxes_with_negative_sides_have_no_area():
    assert box_area(np.asarray([[5, 5, 1, 9]], np.float32)) == 0


def test_clipping_keeps_boxes_in_the_image():
    found = clip_boxes(np.asarray([[-5, 2, 300, 90]], np.float32), 100, 50)
    np.testing.assert_array_equal(found, [[0, 2, 100, 50]])
