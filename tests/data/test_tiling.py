import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from automl_images.core.types import Detections, Objects
from automl_images.data.boxes import box_iou
from automl_images.data.tiling import concatenated, objects_in_tile, survivors, tiles


def detections(*rows):
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


def merge(per_tile, threshold):
    return concatenated(per_tile).take(survivors(per_tile, threshold))


def objects(boxes, masks=None):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Objects(boxes, np.arange(len(boxes)), np.zeros(len(boxes), bool), masks)


def test_tiles_by_hand():
    # Three tiles of width 300 / (0.25 + 0.75 * 3) = 120, each 90 after the one before; two of 140 / 1.75 = 80, 60 apart.
    expected = [
        [0, 0, 120, 80],
        [90, 0, 210, 80],
        [180, 0, 300, 80],
        [0, 60, 120, 140],
        [90, 60, 210, 140],
        [180, 60, 300, 140],
    ]
    np.testing.assert_array_equal(tiles(300, 140, (3, 2), 0.25), expected)
    np.testing.assert_array_equal(tiles(100, 50, (2, 1), 0.0), [[0, 0, 50, 50], [50, 0, 100, 50]])


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 6), st.integers(1, 6), st.floats(0, 0.95))
def test_tiles_cover_the_image_and_stay_inside(width, height, columns, rows, overlap):
    found = tiles(width, height, (columns, rows), overlap)
    assert found.dtype == np.int64
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2] <= width).all()
    assert (found[:, 3] <= height).all()
    assert (found[:, 2:] > found[:, :2]).all()
    for low, high, length in ((found[:, 0], found[:, 2], width), (found[:, 1], found[:, 3], height)):
        covered = np.zeros(length, bool)
        for a, b in zip(low, high, strict=True):
            covered[a:b] = True
        assert covered.all()
    if min(width / columns, height / rows) >= 1:
        assert len(found) == columns * rows


def test_objects_are_clipped_and_moved_to_the_tile():
    found = objects_in_tile(objects([[0, 0, 30, 30], [60, 60, 200, 200], [300, 300, 400, 400]]), [20, 10, 100, 90])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 10, 20], [40, 50, 80, 80]])
    np.testing.assert_array_equal(found.labels, [0, 1])


@pytest.mark.parametrize(("right", "kept"), [(10.0, 0), (10.09, 0), (10.1, 1), (11, 1)])
def test_a_part_below_one_square_pixel_is_dropped(right, kept):
    assert len(objects_in_tile(objects([[0, 0, right, 10]]), [10, 0, 50, 50])) == kept


def test_masks_are_cropped_with_their_boxes():
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 10:20, 10:30] = True
    masks[1, 30:40, 50:60] = True
    found = objects_in_tile(objects([[10, 10, 30, 20], [50, 30, 60, 40]], masks), [20, 0, 40, 25])
    assert found.masks.shape == (1, 25, 20)
    expected = np.zeros((25, 20), bool)
    expected[10:20, 0:10] = True
    np.testing.assert_array_equal(found.masks[0], expected)


def test_the_lower_score_of_another_tile_goes():
    whole, tile = detections([0, 0, 10, 10, 1, 0.6]), detections([0, 0, 10, 9, 1, 0.9])
    found = merge([whole, tile], 0.5)
    np.testing.assert_allclose(found.scores, [0.9])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 10, 9]])


def test_other_labels_little_overlap_and_the_same_tile_stay():
    whole = detections([0, 0, 10, 10, 1, 0.6])
    assert len(merge([whole, detections([0, 0, 10, 10, 2, 0.9])], 0.5)) == 2
    assert len(merge([whole, detections([8, 8, 20, 20, 1, 0.9])], 0.5)) == 2
    assert len(merge([detections([0, 0, 10, 10, 1, 0.6], [0, 0, 10, 10, 1, 0.9])], 0.5)) == 2


def test_what_was_removed_removes_nothing():
    a, b, c = [0, 0, 10, 10, 0, 0.9], [0, 4, 10, 14, 0, 0.8], [0, 8, 10, 18, 0, 0.7]
    assert len(merge([detections(a), detections(b), detections(c)], 0.4)) == 2


def test_boxes_that_are_cut_follow_their_masks():
    masks = np.zeros((3, 40, 60), bool)
    masks[0, 5:35, 2:10] = masks[0, 30:35, 2:50] = True  # an L around the tile, of which only the foot is in it
    masks[1, 0:20, 0:60] = True
    masks[1, 10:, 20:] = False  # nothing of it is in the tile, though its box is
    masks[2, 12:18, 42:48] = True
    boxes = [[2, 5, 50, 35], [0, 0, 60, 20], [41.6, 12.3, 48.2, 18]]
    found = objects_in_tile(objects(boxes, masks), [20, 10, 60, 40])
    np.testing.assert_array_equal(found.labels, [0, 2])
    np.testing.assert_allclose(
        found.boxes, [[0, 20, 30, 25], [21.6, 2.3, 28.2, 8]], atol=1e-5
    )  # the whole one keeps it
    np.testing.assert_array_equal(found.masks, masks[[0, 2], 10:40, 20:60])


def test_survivors_are_positions_among_all():
    per_tile = [detections([0, 0, 1, 1, 0, 0.2], [5, 5, 9, 9, 0, 0.7]), detections([5, 5, 9, 9, 0, 0.8])]
    assert survivors(per_tile, 0.5).tolist() == [2, 0]


def test_nothing_is_nothing():
    assert len(merge([], 0.5)) == 0
    assert merge([detections(), detections()], 0.5).boxes.shape == (0, 4)


def greedy(per_tile, threshold):
    """The rule of the specification, word for word, pair by pair."""
    rows = [
        (float(d.scores[i]), t, int(d.labels[i]), d.boxes[i : i + 1])
        for t, d in enumerate(per_tile)
        for i in range(len(d))
    ]
    kept = []
    for score, tile, label, box in sorted(rows, key=lambda row: -row[0]):
        if not any(t != tile and k == label and box_iou(b, box)[0, 0] > threshold for _, t, k, b in kept):
            kept.append((score, tile, label, box))
    return [row[0] for row in kept]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_merging_follows_the_rule(seed, threshold):
    rng = np.random.default_rng(seed)
    per_tile = []
    for _ in range(rng.integers(1, 5)):
        count = rng.integers(0, 12)
        low = rng.uniform(0, 20, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 20, (count, 2))], axis=1)
        per_tile.append(detections(*np.column_stack([boxes, rng.integers(0, 2, count), rng.random(count)])))
    scores = np.concatenate([d.scores for d in per_tile])
    assume(len(np.unique(scores)) == len(scores))
    np.testing.assert_allclose(merge(per_tile, threshold).scores, greedy(per_tile, threshold))
