import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from automl_images.evaluation.classification import classification_metrics, evaluate_classification, log_loss

AVERAGES = ("macro", "micro", "weighted")
FAMILIES = ("AUC", "f1_score", "precision_score", "recall_score", "average_precision_score")
NAMES = {"accuracy", *(f"{family}_{average}" for family in FAMILIES for average in AVERAGES)}
BINARY = {f"{family}_binary" for family in FAMILIES}
IOUS = {"iou", "iou_macro", "iou_micro", "iou_weighted"}


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def multi_class(seed, images=60, classes=4):
    """Return probabilities and labels of a model that knows something; every class is annotated and predicted."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate((np.arange(classes), rng.integers(0, classes, images - classes)))
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), truth] += 1.5
    logits[np.arange(classes), np.arange(classes)] += 9
    exponents = np.exp(logits)
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), truth


def multi_label(seed, images=60, classes=4):
    """Return probabilities and bool truth; images without any label are among them."""
    rng = np.random.default_rng(seed)
    truth = rng.random((images, classes)) < 0.35
    truth[:classes], truth[classes] = np.eye(classes, dtype=bool), False
    logits = rng.normal(size=truth.shape) + np.where(truth, 1.2, -1.2)
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth


def close(value):
    return pytest.approx(value, abs=5.1e-6)


def test_names():
    assert set(classification_metrics(*multi_class(0), multilabel=False)) == NAMES
    assert set(classification_metrics(*multi_class(0, classes=2), multilabel=False)) == NAMES | BINARY
    assert set(classification_metrics(*multi_label(0), multilabel=True)) == NAMES | IOUS
    assert set(classification_metrics(*multi_label(0, classes=2), multilabel=True)) == NAMES | IOUS


@pytest.mark.parametrize("seed", range(5))
def test_one_class_an_image_equals_scikit_learn(seed):
    probabilities, truth = multi_class(seed)
    found = classification_metrics(probabilities, truth, multilabel=False)
    said, onehot = probabilities.argmax(axis=1), np.eye(4, dtype=bool)[truth]
    assert found["accuracy"] == close(sklearn_metrics.accuracy_score(truth, said))
    for average in AVERAGES:
        for name in ("f1_score", "precision_score", "recall_score"):
            assert found[f"{name}_{average}"] == close(getattr(sklearn_metrics, name)(truth, said, average=average))
        assert found[f"AUC_{average}"] == close(sklearn_metrics.roc_auc_score(onehot, probabilities, average=average))
        expected = sklearn_metrics.average_precision_score(onehot, probabilities, average=average)
        assert found[f"average_precision_score_{average}"] == close(expected)


@pytest.mark.parametrize("seed", range(5))
def test_several_classes_an_image_equal_scikit_learn(seed):
    probabilities, truth = multi_label(seed)
    found = classification_metrics(probabilities, truth, multilabel=True)
    said = probabilities >= 0.5
    assert found["accuracy"] == close(sklearn_metrics.accuracy_score(truth, said))
    expected = sklearn_metrics.jaccard_score(truth, said, average="samples", zero_division=1)
    assert found["iou"] == close(expected)
    for average in AVERAGES:
        assert found[f"iou_{average}"] == close(sklearn_metrics.jaccard_score(truth, said, average=average))
        for name in ("f1_score", "precision_score", "recall_score"):
            assert found[f"{name}_{average}"] == close(getattr(sklearn_metrics, name)(truth, said, average=average))
        assert found[f"AUC_{average}"] == close(sklearn_metrics.roc_auc_score(truth, probabilities, average=average))
        expected = sklearn_metrics.average_precision_score(truth, probabilities, average=average)
        assert found[f"average_precision_score_{average}"] == close(expected)


def test_two_classes_have_values_of_the_second():
    probabilities, truth = multi_class(3, classes=2)
    found = classification_metrics(probabilities, truth, multilabel=False)
    said, scores = probabilities.argmax(axis=1), probabilities[:, 1]
    assert found["AUC_binary"] == close(sklearn_metrics.roc_auc_score(truth, scores))
    assert found["average_precision_score_binary"] == close(sklearn_metrics.average_precision_score(truth, scores))
    for name in ("f1_score", "precision_score", "recall_score"):
        assert found[f"{name}_binary"] == close(getattr(sklearn_metrics, name)(truth, said))


def test_a_second_class_never_predicted():
    found = classification_metrics([[0.9, 0.1], [0.8, 0.2]], [0, 1], multilabel=False)
    assert (found["precision_score_binary"], found["recall_score_binary"], found["f1_score_binary"]) == (0, 0, 0)
    assert (found["AUC_binary"], found["precision_score_macro"], found["accuracy"]) == (1, 0.25, 0.5)


def test_a_class_absent_from_validation_counts_nowhere_but_in_micro():
    probabilities = np.float32([[0.8, 0.2, 0], [0.1, 0.9, 0], [0.3, 0.1, 0.6], [0.4, 0.6, 0]])
    found = classification_metrics(probabilities, [0, 1, 0, 1], multilabel=False)  # said 0, 1, 2, 1
    assert found["accuracy"] == found["precision_score_micro"] == 0.75
    assert found["precision_score_macro"] == 1.0
    assert found["recall_score_macro"] == 0.75
    assert found["f1_score_macro"] == close((2 / 3 + 1) / 2)
    assert found["AUC_macro"] == close((3 / 4 + 1) / 2)
    assert "AUC_binary" not in found


@pytest.mark.parametrize(
    ("probabilities", "truth", "multilabel", "expected"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [0, 0], False, {"accuracy": 0.5}),
        ([[1.0], [1.0]], [0, 0], False, {"accuracy": 1.0}),
        ([[0.3, 0.7]], [1], False, {"accuracy": 1.0}),
        ([[0.9, 0.6], [0.2, 0.8]], [[1, 0], [1, 0]], True, {"iou": 0.25}),
        ([[0.9], [0.2], [0.6]], [[1], [0], [0]], True, {"iou": close(2 / 3)}),
        ([[0.1, 0.1], [0.1, 0.9]], [[0, 0], [0, 0]], True, {"iou": 0.5}),
        (np.zeros((0, 3)), np.zeros(0, int), False, {"accuracy": -1}),
        (np.zeros((0, 3)), np.zeros((0, 3), bool), True, {"iou": -1}),
    ],
)
def test_where_images_have_fewer_than_two_classes_only_the_primary_metric_is_left(
    probabilities, truth, multilabel, expected
):
    truth = np.asarray(truth, dtype=bool if multilabel else np.int64)
    assert classification_metrics(probabilities, truth, multilabel=multilabel) == expected
    names = [f"class {i}" for i in range(np.shape(probabilities)[1])]
    evaluation = evaluate_classification(probabilities, truth, names, multilabel=multilabel)
    assert evaluation.metrics == expected
    assert json.loads(json.dumps(evaluation.as_dict(), allow_nan=False)) == evaluation.as_dict()
    assert len(evaluation.per_label_metrics) == len(names)


def test_one_image_with_several_classes():
    found = classification_metrics([[0.9, 0.2, 0.7]], [[True, True, False]], multilabel=True)
    assert found["iou"] == close(1 / 3)
    assert found["accuracy"] == 0
    assert (found["AUC_macro"], found["AUC_weighted"]) == (-1, -1)  # every image has either class
    assert found["AUC_micro"] == 0.5
    assert found["average_precision_score_macro"] == 1


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_properties(seed, multilabel):
    probabilities, truth = (multi_label if multilabel else multi_class)(seed)
    found = classification_metrics(probabilities, truth, multilabel=multilabel)
    assert all(0 <= value <= 1 for value in found.values())
    order = np.random.default_rng(seed).permutation(len(truth))
    assert classification_metrics(probabilities[order], truth[order], multilabel=multilabel) == found
    swapped = classification_metrics(
        probabilities[:, ::-1], truth[:, ::-1] if multilabel else 3 - truth, multilabel=multilabel
    )
    assert swapped == pytest.approx(found, abs=1.1e-5)
    if multilabel:
        perfect = classification_metrics(truth.astype(np.float32), truth, multilabel=True)
    else:
        perfect = classification_metrics(np.eye(4)[truth], truth, multilabel=False)
        assert found["accuracy"] == found["precision_score_micro"] == found["recall_score_weighted"]
    assert set(perfect.values()) == {1.0}
    assert found.keys() == perfect.keys()


def test_all_of_it_is_json_and_agrees():
    classes = ("ant", "bee", "cat", "dog")
    for multilabel, data in ((False, multi_class(1)), (True, multi_label(1))):
        evaluation = evaluate_classification(*data, classes, multilabel=multilabel)
        assert json.loads(json.dumps(evaluation.as_dict(), allow_nan=False)) == evaluation.as_dict()
        assert evaluation.metrics == classification_metrics(*data, multilabel=multilabel)
        primary = evaluation.metrics["iou" if multilabel else "accuracy"]
        assert np.mean(evaluation.per_image["correct"]) == close(primary)
        for row in evaluation.averages:
            for column, name in {"auc": "AUC", "recall": "recall_score", "f1_score": "f1_score"}.items():
                assert row[column] == evaluation.metrics[f"{name}_{row['class_name']}"]
        assert [row["class_name"] for row in evaluation.averages] == ["micro", "macro", "weighted"]
        assert ("iou" in evaluation.per_label_metrics[0]) == ("iou" in evaluation.averages[0]) == multilabel
        assert (evaluation.confusion_matrix is None) == (evaluation.accuracy_table is None) == multilabel
        assert set(evaluation.pr_curves) == {"pr_curve", *(f"pr_curve_{name}" for name in classes)}
        for family in (evaluation.roc_curves, evaluation.gain_curves, evaluation.calibration_curve):
            assert set(family) == {"all classes", *classes}


def test_rows_and_matrix_by_hand():
    probabilities = [[0.8, 0.2, 0.0], [0.6, 0.3, 0.1], [0.3, 0.7, 0.0], [0.5, 0.4, 0.1]]
    evaluation = evaluate_classification(probabilities, [0, 0, 1, 1], ("can", "jar", "lid"), multilabel=False)
    can, jar, lid = evaluation.per_label_metrics
    assert can == {
        "class_name": "can",
        "support": 2,
        "precision": close(2 / 3),
        "recall": 1.0,
        "f1_score": 0.8,
        "average_precision": 1.0,
        "auc": 1.0,
        "best_threshold": pytest.approx(0.6, abs=1.1e-5),
        "best_f1": 1.0,
    }
    assert (jar["precision"], jar["recall"], jar["best_f1"]) == (1, 0.5, 1)
    assert lid == {
        "class_name": "lid",
        "support": 0,
        **dict.fromkeys(("precision", "recall", "f1_score", "average_precision", "auc"), -1),
        "best_threshold": -1,
        "best_f1": -1,
    }
    assert evaluation.confusion_matrix == {
        "class_labels": ["can", "jar", "lid"],
        "matrix": [[2, 0, 0], [1, 1, 0], [0, 0, 0]],
    }
    assert evaluation.per_image == {"confidence": close([0.8, 0.6, 0.7, 0.5]), "correct": [1, 1, 1, 0]}
    assert evaluation.operating_threshold is None
    assert evaluation.best_thresholds == pytest.approx({"can": 0.6, "jar": 0.4}, abs=1.1e-5)
    assert [row["support"] for row in evaluation.averages] == [4, 4, 4]
    assert set(evaluation.roc_curves) == {"all classes", "can", "jar"}


def test_several_classes_by_hand():
    probabilities = [[0.9, 0.4], [0.2, 0.6], [0.7, 0.1], [0.1, 0.2]]
    truth = np.array([[True, True], [False, True], [False, False], [False, False]])
    evaluation = evaluate_classification(probabilities, truth, ("can", "jar"), multilabel=True)
    can, jar = evaluation.per_label_metrics
    assert (can["precision"], can["recall"], can["iou"], can["best_f1"]) == (0.5, 1, 0.5, 1)
    assert (jar["precision"], jar["recall"], jar["iou"], jar["f1_score"]) == (1, 0.5, 0.5, close(2 / 3))
    assert evaluation.best_thresholds == pytest.approx({"can": 0.9, "jar": 0.4}, abs=1.1e-5)
    assert evaluation.per_image["correct"] == [0.5, 1, 0, 1]
    assert evaluation.per_image["confidence"] == close([0.75, 0.7, 0.8, 0.85])
    assert evaluation.metrics["iou"] == 0.625
    assert evaluation.operating_threshold == 0.5


def test_another_threshold():
    probabilities, truth = [[0.4, 0.1], [0.3, 0.35]], np.array([[True, False], [False, True]])
    evaluation = evaluate_classification(probabilities, truth, ("can", "jar"), multilabel=True, score_threshold=0.35)
    assert evaluation.metrics["iou"] == evaluation.metrics["accuracy"] == 1
    assert evaluation.operating_threshold == 0.35
    assert evaluate_classification(probabilities, truth, ("can", "jar"), multilabel=True).metrics["iou"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_of_a_class_reaches_its_best_f1(seed):
    probabilities, truth = multi_label(seed)
    evaluation = evaluate_classification(probabilities, truth, ("a", "b", "c", "d"), multilabel=True)
    for label, row in enumerate(evaluation.per_label_metrics):
        column, known = probabilities[:, label], truth[:, label]
        said = column >= np.append(column, row["best_threshold"])[:, None]
        f1 = 2 * (said & known).sum(axis=1) / (said.sum(axis=1) + known.sum())
        assert f1[-1] == max(f1)
        assert row["best_f1"] == close(f1[-1])


def test_number_of_names_must_fit():
    with pytest.raises(ValueError, match="Expected probabilities of 3 classes, got 2"):
        evaluate_classification([[0.5, 0.5]], [0], ("a", "b", "c"), multilabel=False)


def test_log_loss_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    probabilities, truth = rng.dirichlet(np.ones(4), 30), rng.integers(0, 4, 30)
    expected = sklearn_metrics.log_loss(truth, probabilities, labels=range(4))
    assert log_loss(probabilities, truth, multilabel=False) == pytest.approx(expected, abs=1e-5)
    known = rng.random((30, 4)) < 0.3
    expected = np.mean([sklearn_metrics.log_loss(known[:, c], probabilities[:, c]) for c in range(4)])
    assert log_loss(probabilities, known, multilabel=True) == pytest.approx(expected, abs=1e-5)
