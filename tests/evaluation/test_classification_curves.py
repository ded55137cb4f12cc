import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve as sklearn_calibration_curve

from automl_images.evaluation import classification_curves as curves
from automl_images.evaluation.classification_scores import judge, rank_classes

COLUMN = [0.9, 0.8, 0.8, 0.1]
TRUTH = [True, True, False, False]


def judged(column, truth):
    pair = np.reshape(column, (-1, 1)), np.reshape(truth, (-1, 1))
    return judge(*pair, multilabel=True, score_threshold=0.5)


def ranked(column, truth):
    return {"can": rank_classes(judged(column, truth))[0]}


def random_column(seed, images=500):
    rng = np.random.default_rng(seed)
    truth = rng.random(images) < 0.3
    return np.clip(rng.normal(0.4 + 0.3 * truth, 0.2), 0, 1).astype(np.float32), truth


def test_roc_by_hand():
    assert curves.roc_curves(ranked(COLUMN, TRUTH)) == {"can": {"x": [0, 0, 0.5, 1], "y": [0, 0.5, 1, 1]}}


@pytest.mark.parametrize("images", [7, 90, 3000])
def test_roc_has_the_area_and_few_points(images):
    column, truth = random_column(images, images)
    truth[:2] = True, False
    points = curves.roc_curves(ranked(column, truth))["can"]
    assert np.trapezoid(points["y"], points["x"]) == pytest.approx(
        sklearn_metrics.roc_auc_score(truth, column), abs=0.01
    )
    assert len(points["x"]) == len(points["y"]) <= 101
    assert (points["x"][0], points["y"][0], points["x"][-1], points["y"][-1]) == (0, 0, 1, 1)


def test_gain_and_lift_by_hand():
    gain = curves.gain_curves(ranked(COLUMN, TRUTH))["can"]
    assert [gain["y"][i] for i in (0, 25, 50, 75, 100)] == [0, 0.5, 0.75, 1, 1]  # equal scores in random order
    lift = curves.lift_curves(ranked(COLUMN, TRUTH))["can"]
    assert [lift["x"][i] for i in (0, 24, 49, 99)] == [0.01, 0.25, 0.5, 1]
    assert [lift["y"][i] for i in (0, 24, 49, 99)] == [2, 2, 1.5, 1]


def test_equal_scores_know_nothing():
    ranking = ranked([0.5] * 10, [True] * 3 + [False] * 7)
    gain = curves.gain_curves(ranking)["can"]
    assert gain["y"] == pytest.approx(gain["x"])
    assert curves.lift_curves(ranking)["can"]["y"] == pytest.approx([1] * 100)
    assert curves.roc_curves(ranking)["can"] == {"x": [0, 1], "y": [0, 1]}


@pytest.mark.parametrize("seed", range(5))
def test_gain_rises_and_lift_ends_at_one(seed):
    ranking = ranked(*random_column(seed, 37))
    gain, lift = (family(ranking)["can"] for family in (curves.gain_curves, curves.lift_curves))
    assert gain["y"] == sorted(gain["y"])
    assert (gain["y"][0], gain["y"][-1], lift["y"][-1]) == (0, 1, 1)
    assert min(lift["y"]) >= 0


def test_a_curve_that_is_not_defined_is_left_out():
    for truth, has_roc, has_gain in (([False] * 4, False, False), ([True] * 4, False, True), (TRUTH, True, True)):
        ranking = ranked(COLUMN, truth)
        assert bool(curves.roc_curves(ranking)) == has_roc
        assert bool(curves.gain_curves(ranking)) == bool(curves.lift_curves(ranking)) == has_gain


@pytest.mark.parametrize("seed", range(5))
def test_calibration_equals_scikit_learn(seed):
    column, truth = random_column(seed)
    right, predicted = sklearn_calibration_curve(truth, column, n_bins=10)
    found = curves.calibration_curve(judged(column, truth), {"can": 0})
    assert found["can"] == found["all classes"]
    np.testing.assert_allclose(found["can"]["x"], predicted, atol=1e-5)
    np.testing.assert_allclose(found["can"]["y"], right, atol=1e-5)


def test_calibration_leaves_out_empty_bins_and_keeps_certainty():
    found = curves.calibration_curve(judged([1.0, 1.0, 0.0, 0.05], TRUTH), {"can": 0})["can"]
    assert found == {"x": [0.025, 1.0], "y": [0.0, 1.0]}


def test_accuracy_table_by_hand():
    table = curves.accuracy_table(ranked(COLUMN, TRUTH), {"can": 0})
    assert table["class_labels"] == ["can"]
    assert table["probability_thresholds"][:2] == [0, 0.01]
    counts = dict(zip(table["probability_thresholds"], table["probability_tables"][0], strict=True))
    assert counts[0.0] == [2, 2, 0, 0]
    assert counts[0.1] == [2, 2, 0, 0]
    assert counts[0.8] == [2, 1, 1, 0]
    assert counts[0.9] == [1, 0, 2, 1]
    assert counts[1.0] == [0, 0, 2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_table_counts_every_image(seed):
    column, truth = random_column(seed)
    table = np.array(curves.accuracy_table(ranked(column, truth), {"can": 0})["probability_tables"][0])
    assert (table.sum(axis=1) == len(truth)).all()
    assert (table[:, 0] + table[:, 3] == truth.sum()).all()
    for threshold, (tp, fp, tn, fn) in zip(curves.GRID, table, strict=True):
        said = column >= np.float32(threshold)
        expected = sklearn_metrics.confusion_matrix(truth, said, labels=[False, True]).ravel()
        assert (tn, fp, fn, tp) == tuple(expected)
