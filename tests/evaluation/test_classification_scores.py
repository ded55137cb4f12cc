import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from automl_images.core.errors import ModelError
from automl_images.evaluation.classification_scores import (
    area_under_roc,
    average_precision,
    averages,
    class_scores,
    judge,
    rank_classes,
    rank_pooled,
    steps,
)

TINY = [[0.9, 0.2], [0.5, 0.5], [0.4, 0.7]]


def test_several_classes_are_said_from_the_threshold_on():
    judged = judge(TINY, [[True, False], [True, True], [False, False]], multilabel=True, score_threshold=0.5)
    assert judged.said.tolist() == [[True, False], [True, True], [False, True]]
    assert (judged.support.tolist(), judged.predictions.tolist(), judged.hits.tolist()) == ([2, 1], [2, 2], [2, 1])
    assert judged.exact().tolist() == [True, True, False]
    assert judged.overlaps().tolist() == [1, 1, 0]


def test_a_threshold_is_reached_by_the_same_number_as_float32():
    judged = judge(np.float32([[0.7], [0.69]]), [[True], [True]], multilabel=True, score_threshold=0.7)
    assert judged.said.tolist() == [[True], [False]]


def test_one_class_is_said_the_first_of_equals():
    judged = judge(TINY, [0, 1, 1], multilabel=False, score_threshold=0.99)
    assert judged.said.tolist() == [[True, False], [True, False], [False, True]]
    assert judged.truth.tolist() == [[True, False], [False, True], [False, True]]
    assert judged.exact().tolist() == [True, False, True]


def test_no_class_at_all_rightly_said_is_a_full_overlap():
    judged = judge([[0.1, 0.1], [0.9, 0.1]], np.zeros((2, 2), bool), multilabel=True, score_threshold=0.5)
    assert judged.overlaps().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("probabilities", "truth", "multilabel", "message"),
    [
        ([[0.5, 0.5]], [0, 1], False, r"Expected truth of shape \(1,\) for 1 images, got \(2,\)"),
        ([[0.5, 0.5]], [0], True, r"Expected truth of shape \(1, 2\)"),
        ([[0.5, 0.5]], [2], False, "Expected annotated labels from 0 to 1, got 2"),
        ([[0.5, 0.5]], [-1], False, "Expected annotated labels from 0 to 1, got -1"),
        ([[3.0, -1.0]], [0], False, "Expected probabilities from 0 to 1, got -1 to 3"),
        ([0.5, 0.5], [0], False, r"shape \(images, classes\), got \(2,\)"),
        (np.zeros((1, 0)), [0], False, r"shape \(images, classes\), got \(1, 0\)"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, truth, multilabel, message):
    with pytest.raises(ValueError, match=message):
        judge(probabilities, truth, multilabel=multilabel, score_threshold=0.5)


def test_a_broken_model_is_named():
    with pytest.raises(ModelError, match="image number 1"):
        judge([[0.5, 0.5], [np.nan, 0.5]], [0, 0], multilabel=False, score_threshold=0.5)


def test_areas_by_hand():
    judged = judge([[0.9], [0.8], [0.8], [0.1]], [[True], [True], [False], [False]], multilabel=True, score_threshold=0)
    [ranking] = rank_classes(judged)
    assert [array.tolist() for array in steps(ranking)] == [[0, 1, 3, 4], [0, 1, 2, 2]]
    assert average_precision(ranking) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert area_under_roc(ranking) == pytest.approx(7 / 8)  # of 4 pairs three are in order and one is equal


@pytest.mark.parametrize("seed", range(30))
def test_areas_equal_scikit_learn_also_with_ties(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    scores = rng.random((n, 1)) if seed % 2 else rng.integers(0, 6, (n, 1)) / 5
    truth = rng.random((n, 1)) < 0.4
    truth[:2, 0] = True, False
    judged = judge(scores, truth, multilabel=True, score_threshold=0.5)
    [ranking] = rank_classes(judged)
    expected = sklearn_metrics.average_precision_score(truth[:, 0], judged.probabilities[:, 0])
    assert average_precision(ranking) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.roc_auc_score(truth[:, 0], judged.probabilities[:, 0])
    assert area_under_roc(ranking) == pytest.approx(expected, abs=1e-12)


def test_areas_without_positives_or_negatives():
    for value, expected in ((True, (1.0, -1)), (False, (-1, -1))):
        judged = judge([[0.9], [0.1]], [[value], [value]], multilabel=True, score_threshold=0.5)
        [ranking] = rank_classes(judged)
        assert (average_precision(ranking), area_under_roc(ranking)) == expected


def test_averages_leave_out_absent_classes_but_count_those_never_predicted():
    probabilities = [[0.9, 0.0, 0.1], [0.6, 0.1, 0.3], [0.2, 0.0, 0.8], [0.7, 0.2, 0.1]]
    judged = judge(probabilities, [0, 0, 0, 1], multilabel=False, score_threshold=0.5)  # said 0, 0, 2, 0
    scores = class_scores(judged, rank_classes(judged))
    assert scores["precision"].tolist() == pytest.approx([2 / 3, -1, 0])
    assert scores["recall"].tolist() == pytest.approx([2 / 3, 0, -1])
    assert scores["f1_score"].tolist() == pytest.approx([2 / 3, 0, -1])
    assert scores["iou"].tolist() == pytest.approx([1 / 2, 0, -1])
    assert scores["auc"].tolist() == pytest.approx([1 / 3, 1, -1])
    found = averages(judged, scores, rank_pooled(judged))
    assert found["macro"]["precision"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["macro"]["auc"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["weighted"]["recall"] == found["micro"]["recall"] == found["micro"]["precision"] == 0.5
    assert found["weighted"]["auc"] == pytest.approx((3 * 1 / 3 + 1) / 4)


def test_macro_area_leaves_out_a_class_that_every_image_has():
    judged = judge([[0.9, 0.2], [0.8, 0.6]], [[True, False], [True, True]], multilabel=True, score_threshold=0.5)
    scores = class_scores(judged, rank_classes(judged))
    found = averages(judged, scores, rank_pooled(judged))
    assert scores["auc"].tolist() == [-1, 1]
    assert found["macro"]["auc"] == found["weighted"]["auc"] == 1
