import numpy as np
import pytest

from automl_images.evaluation import curves
from automl_images.evaluation.matching import match, pool_objects
from automl_images.evaluation.voc import rankings, voc_metrics

A, B, FAR = [0, 0, 10, 10], [100, 0, 110, 10], [300, 300, 310, 310]
CLASSES = ("cat", "dog")


@pytest.fixture
def small(objects, detections):
    """Image 0: cat found, dog taken for a cat; image 1: dog missed, cat invented; image 2 empty but cat invented."""
    truths = [objects([(A, 0), (B, 1)]), objects([(A, 1)]), objects([])]
    found = [detections([(A, 0, 0.9), (B, 0, 0.6)]), detections([(FAR, 0, 0.35)]), detections([(A, 0, 0.5)])]
    return pool_objects(found, truths, 2)


def test_confusion_matrix_by_hand(small):
    across = match(small, 0.5, across_classes=True)
    at_30 = curves.confusion_matrix(across, CLASSES, 0.3)
    assert at_30["class_labels"] == ["cat", "dog", "Missed"]
    assert at_30["matrix"] == [[1, 0, 0], [1, 0, 1]]
    assert at_30["background"] == [2, 0]
    at_60 = curves.confusion_matrix(across, CLASSES, 0.6)  # the detection with exactly 0.6 stays
    assert (at_60["matrix"], at_60["background"]) == ([[1, 0, 0], [1, 0, 1]], [0, 0])
    at_70 = curves.confusion_matrix(across, CLASSES, 0.7)
    assert (at_70["matrix"], at_70["background"]) == ([[1, 0, 0], [0, 0, 2]], [0, 0])


def test_confusion_matrices_have_the_specification_s_names(small):
    matrices = curves.confusion_matrices(match(small, 0.5, across_classes=True), CLASSES)
    assert list(matrices) == [f"confusion_matrix_score_threshold_0.{k}" for k in range(10)]
    assert matrices["confusion_matrix_score_threshold_0.6"]["score_threshold"] == pytest.approx(0.6)


def test_confusion_matrix_keeps_account(make_scene):
    predictions, truths = make_scene(1)
    across = match(pool_objects(predictions, truths, 4), 0.5, across_classes=True)
    names = ("a", "b", "c", "d")
    objects_per_class = [sum(int(np.sum((t.labels == k) & ~t.crowd)) for t in truths) for k in range(4)]
    for table in curves.confusion_matrices(across, names).values():
        assert np.sum(table["matrix"], axis=1).tolist() == objects_per_class
        assert np.min(table["matrix"]) >= 0
        kept = [p.take(p.scores >= np.float32(table["score_threshold"])) for p in predictions]
        again = match(pool_objects(kept, truths, 4), 0.5, across_classes=True)
        assert curves.confusion_matrix(again, names, 0.0)["matrix"] == table["matrix"]


def test_crowds_are_in_no_cell(objects, detections):
    truths = [objects([([0, 0, 50, 50], 0)], crowd=[0])]
    found = [detections([(A, 1, 0.9)])]
    table = curves.confusion_matrix(match(pool_objects(found, truths, 2), 0.5, across_classes=True), CLASSES, 0.0)
    assert (table["matrix"], table["background"]) == ([[0, 0, 0], [0, 0, 0]], [0, 0])


def test_precision_recall_curves_by_hand(small):
    table = curves.precision_recall_curves(rankings(match(small, 0.5)), CLASSES)
    assert list(table) == ["pr_curve", "pr_curve_cat", "pr_curve_dog"]
    cat, dog, mean = table["pr_curve_cat"], table["pr_curve_dog"], table["pr_curve"]
    assert len(cat["thresholds"]) == 100
    assert (cat["thresholds"][0], cat["thresholds"][-1]) == (0.0, 0.99)
    # Cats: 0.9 right; 0.6, 0.5, 0.35 wrong.
    assert (cat["precision"][0], cat["recall"][0]) == (0.25, 1.0)
    assert (cat["precision"][35], cat["precision"][36]) == (0.25, 0.33333)
    assert (cat["precision"][90], cat["recall"][90]) == (1.0, 1.0)
    assert (cat["precision"][91], cat["recall"][91]) == (-1, 0.0)
    # No dog was ever called; the mean leaves its undefined precision out.
    assert set(dog["precision"]) == {-1}
    assert set(dog["recall"]) == {0.0}
    assert (mean["precision"][0], mean["recall"][0]) == (0.25, 0.5)


def test_curve_at_zero_agrees_with_voc(make_scene):
    predictions, truths = make_scene(2)
    result = voc_metrics(predictions, truths, 4)
    mean = curves.precision_recall_curves(result.rankings, list("abcd"))["pr_curve"]
    assert (mean["precision"][0], mean["recall"][0]) == (result.precision, result.recall)


def test_image_level_by_hand(small):
    table = curves.image_level_metrics(match(small, 0.5))
    # Images 0 and 1 hold objects; all three are called at 0.3, only image 0 rightly.
    assert (table["precision"][30], table["recall"][30]) == (0.33333, 0.5)
    assert (table["precision"][50], table["precision"][51]) == (0.5, 1.0)
    assert (table["precision"][95], table["recall"][95]) == (-1, 0.0)


def test_image_counts_by_hand(small):
    matches = match(small, 0.5)
    assert curves.image_counts(matches, 0.4) == {
        "true_positives": [1, 0, 0],
        "false_positives": [1, 0, 1],
        "false_negatives": [1, 1, 0],
    }
    assert curves.image_counts(matches, 0.95)["false_negatives"] == [2, 1, 0]
