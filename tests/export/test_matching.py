import numpy as np

from automl_images.core.types import Detections
from automl_images.export.matching import Cuts, compare, mask_differences

CUTS = Cuts(score=0.1, count=5, overlaps=(0.5,), score_margin=1e-3)


def _detections(*rows):
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


A, B, C = (0, 0, 10, 10, 0, 0.9), (20, 20, 40, 40, 1, 0.8), (50, 0, 60, 30, 0, 0.3)


def test_equal_sets_in_another_order():
    result = compare(_detections(A, B, C), _detections(C, A, B), CUTS)
    assert len(result.box) == 3
    assert (result.box.max(), result.score.max(), result.label.sum()) == (0, 0, 0)
    assert (result.unmatched, result.near_ties) == (0, 0)


def test_differences_are_measured():
    moved = _detections((0, 0, 10, 10.25, 0, 0.9), (20, 20, 40, 40, 1, 0.7))
    result = compare(_detections(A, B), moved, CUTS)
    assert result.box.max() == 0.25
    np.testing.assert_allclose(result.score.max(), 0.1, atol=1e-6)


def test_one_box_with_two_labels_finds_its_own():
    twin = (0, 0, 10, 10, 1, 0.9)
    result = compare(_detections(A, twin), _detections(twin, A), CUTS)
    assert result.label.sum() == 0


def test_unequal_label_is_told():
    result = compare(_detections(A), _detections((*A[:4], 1, 0.9)), CUTS)
    assert result.label.tolist() == [True]


def test_missing_and_moved_away_have_no_partner():
    assert compare(_detections(A, B), _detections(A), CUTS).unmatched == 1
    assert compare(_detections(A), _detections((30, 30, 40, 40, 0, 0.9)), CUTS).unmatched == 2
    assert compare(_detections(), _detections(A), CUTS).unmatched == 1
    assert compare(_detections(), _detections(), CUTS).unmatched == 0


def test_a_place_that_is_missing_counts_once_whatever_its_classes():
    assert compare(_detections(A, (0, 0, 10, 9, 1, 0.8), B, C), _detections(C), CUTS).unmatched == 2


def test_at_the_score_threshold_rounding_decides():
    result = compare(_detections(A, (70, 70, 80, 80, 0, 0.1004)), _detections(A), CUTS)
    assert (result.unmatched, result.near_ties) == (0, 1)


def test_at_the_cut_of_the_best_rounding_decides():
    full = [(100 * n, 0, 100 * n + 10, 10, 0, 0.5) for n in range(5)]
    other = [*full[:4], (0, 100, 10, 110, 0, 0.5)]
    result = compare(_detections(*full), _detections(*other), CUTS)
    assert (result.unmatched, result.near_ties) == (0, 2)
    strong = [*full[:4], (0, 100, 10, 110, 0, 0.7)]
    assert compare(_detections(*full), _detections(*strong), CUTS).unmatched == 1


def test_at_the_overlap_of_suppression_rounding_decides():
    rival = (0, 0, 10, 5, 0, 0.8)  # overlaps A by exactly one half
    assert compare(_detections(A, rival), _detections(A), CUTS).near_ties == 1
    other_class = (0, 0, 10, 5, 1, 0.8)
    assert compare(_detections(A, other_class), _detections(A), CUTS).unmatched == 1


def test_masks_differ_by_what_they_do_not_share():
    left, right = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
    left[0], right[0, :2] = 1, 1  # half of it
    left[1], right[1] = 0.5, 0.5 + 1e-6  # at the threshold, where rounding would decide about all pixels
    left[2, 0], right[2, 1] = 1, 1
    found = mask_differences(left, right)
    np.testing.assert_allclose(found, [0.5, 0, 1, 0], atol=1e-5)
    assert mask_differences(left, right[:, :2, :2]).tolist() == [1, 1, 1, 1]
    assert mask_differences(left[:0], right[:0]).shape == (0,)


def test_pairs_are_told_by_position():
    result = compare(_detections(A, B, C), _detections(C, A), CUTS)
    assert sorted(zip(result.left.tolist(), result.right.tolist(), strict=True)) == [(0, 1), (2, 0)]
