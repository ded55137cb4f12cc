"""The evaluation of a classifier: every number and table of specification H.1 from probabilities and annotated classes.

Owns which metrics are reported under which name. What they mean is `classification_scores.py`'s. The loss is the
trainer's. Undefined values are -1 (`UNDEFINED`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from automl_images.evaluation import classification_curves as charts
from automl_images.evaluation.classification_scores import (
    Judged,
    Scores,
    averages,
    class_scores,
    judge,
    rank_classes,
    rank_pooled,
)
from automl_images.evaluation.curves import Curve, precision_recall_curves
from automl_images.evaluation.voc import DIGITS, UNDEFINED, Ranking

OPERATING_THRESHOLD = 0.5
"""Probability from which an image is said to have a class, where it may have several (specification H.1)."""

_METRIC_NAMES = {
    "auc": "AUC",
    "f1_score": "f1_score",
    "precision": "precision_score",
    "recall": "recall_score",
    "average_precision": "average_precision_score",
}
_IOU = "iou"
_POSITIVE = 1


@dataclasses.dataclass(frozen=True, slots=True)
class ClassificationEvaluation:
    """All that is known about a classifier's predictions.

    Attributes:
        metrics: see `classification_metrics`.
        per_label_metrics: a row per class: `class_name`, `precision`, `recall`, `f1_score`, `support` (images that have
            it), `average_precision`, `auc`, `best_threshold` and `best_f1` (the probability from which F1 of the class
            against the rest is largest, and that F1); with several classes an image also `iou`.
        averages: the same columns but the last two for `micro`, `macro` and `weighted`.
        confusion_matrix: `class_labels` and `matrix` (C x C counts, rows are annotated classes); None with several
            classes an image.
        pr_curves: `pr_curve` (every class of every image is one decision) and `pr_curve_<class>`.
        roc_curves, lift_curves, gain_curves, calibration_curve: `x` and `y` by name, see `classification_curves`.
        accuracy_table: see `classification_curves.accuracy_table`; None with several classes an image.
        best_thresholds: `best_threshold` by class name, without classes that no image has.
        per_image: `confidence` and `correct` of each image. With one class an image, the probability of the one
            predicted, and 1.0 or 0.0; with several, the mean probability of the decisions, and the Jaccard index.
            The mean of `correct` is the primary metric.
        operating_threshold: of `metrics` and `per_label_metrics`; None where the most probable class is taken.
    """

    metrics: dict[str, float]
    per_label_metrics: list[dict[str, Any]]
    averages: list[dict[str, Any]]
    confusion_matrix: dict[str, Any] | None
    pr_curves: dict[str, Curve]
    roc_curves: dict[str, Curve]
    lift_curves: dict[str, Curve]
    gain_curves: dict[str, Curve]
    calibration_curve: dict[str, Curve]
    accuracy_table: dict[str, Any] | None
    best_thresholds: dict[str, float]
    per_image: dict[str, list[float]]
    operating_threshold: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-serialisable dictionary."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def classification_metrics(
    probabilities: ArrayLike, truth: ArrayLike, *, multilabel: bool, score_threshold: float = OPERATING_THRESHOLD
) -> dict[str, float]:
    """Return the scalars of specification H.1, rounded to 5 digits, for use in every epoch.

    `accuracy`, and `_macro`, `_micro` and `_weighted` of `AUC`, `f1_score`, `precision_score`, `recall_score`,
    `average_precision_score`. Of exactly two classes, one an image, also `_binary`: of the second against the first.
    With several classes an image, accuracy is the share of images with exactly the annotated classes; `iou` is the mean
    Jaccard index of an image's classes (1 for an image that has none and is said to have none), and `iou_macro`,
    `iou_micro`, `iou_weighted` are of the classes.

    Classes that no image has do not count in macro and weighted averages. Where the images have fewer than two
    classes, only the primary metric is returned: `accuracy`, or `iou` with several classes an image.

    Args:
        probabilities: `(N, C)` float32 in [0, 1].
        truth: `(N,)` labels, or `(N, C)` bool where an image has any number of classes.
        multilabel: an image has any number of classes.
        score_threshold: probability from which an image is said to have a class; without effect where each has one.

    Raises:
        ValueError: shapes do not fit, a label is out of range, or numbers are not probabilities.
        ModelError: a probability is not a finite number.
    """
    judged = judge(probabilities, truth, multilabel=multilabel, score_threshold=score_threshold)
    if _is_single(judged):
        return _primary(judged, multilabel)
    scores = class_scores(judged, rank_classes(judged))
    return _metrics(judged, scores, averages(judged, scores, rank_pooled(judged)), multilabel)


def evaluate_classification(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    *,
    multilabel: bool,
    score_threshold: float = OPERATING_THRESHOLD,
) -> ClassificationEvaluation:
    """Measure predictions against annotated classes; arguments and errors as of `classification_metrics`.

    Args:
        classes: names by label.
    """
    judged = judge(probabilities, truth, multilabel=multilabel, score_threshold=score_threshold)
    if len(classes) != judged.truth.shape[1]:
        raise ValueError(f"Expected probabilities of {len(classes)} classes, got {judged.truth.shape[1]}.")
    labels = {name: label for label, name in enumerate(classes)}
    by_class, pooled = dict(zip(classes, rank_classes(judged), strict=True)), rank_pooled(judged)
    rankings = {charts.POOLED: pooled} | by_class
    scores = class_scores(judged, list(by_class.values()))
    means = averages(judged, scores, pooled)
    rows = _label_rows(judged, scores, by_class, multilabel)
    return ClassificationEvaluation(
        metrics=_primary(judged, multilabel) if _is_single(judged) else _metrics(judged, scores, means, multilabel),
        per_label_metrics=rows,
        averages=[_row(name, values, judged.support.sum(), multilabel) for name, values in means.items()],
        confusion_matrix=None if multilabel else _confusion_matrix(judged, classes),
        pr_curves=_precision_recall(pooled, by_class),
        roc_curves=charts.roc_curves(rankings),
        lift_curves=charts.lift_curves(rankings),
        gain_curves=charts.gain_curves(rankings),
        calibration_curve=charts.calibration_curve(judged, labels),
        accuracy_table=None if multilabel else charts.accuracy_table(by_class, labels),
        best_thresholds={row["class_name"]: row["best_threshold"] for row in rows if row["best_f1"] > 0},
        per_image=_per_image(judged, multilabel),
        operating_threshold=score_threshold if multilabel else None,
    )


def log_loss(probabilities: ArrayLike, truth: ArrayLike, *, multilabel: bool) -> float:
    """Return the mean cross entropy, unweighted: over images, and with several classes an image over these too.

    Arguments as of `classification_metrics`; probabilities are taken to lie in [1e-7, 1 - 1e-7].
    """
    chances = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    known = np.asarray(truth)
    if multilabel:
        return _rounded(-np.where(known, np.log(chances), np.log1p(-chances)).mean())
    return _rounded(-np.log(chances[np.arange(len(known)), known]).mean())


def _is_single(judged: Judged) -> bool:
    return bool(np.count_nonzero(judged.support) < 2)


def _primary(judged: Judged, multilabel: bool) -> dict[str, float]:
    return {_IOU: _mean(judged.overlaps())} if multilabel else {"accuracy": _mean(judged.exact())}


def _metrics(
    judged: Judged, scores: Scores, means: Mapping[str, Mapping[str, float]], multilabel: bool
) -> dict[str, float]:
    metrics = {"accuracy": _mean(judged.exact())}
    if multilabel:
        metrics[_IOU] = _mean(judged.overlaps())
    for column, name in (_METRIC_NAMES | ({_IOU: _IOU} if multilabel else {})).items():
        metrics |= {f"{name}_{average}": _rounded(values[column]) for average, values in means.items()}
    if not multilabel and len(judged.support) == 2:
        second = {column: max(values[_POSITIVE], 0.0) for column, values in scores.items()}  # never predicted: 0
        metrics |= {f"{name}_binary": _rounded(second[column]) for column, name in _METRIC_NAMES.items()}
    return metrics


def _label_rows(
    judged: Judged, scores: Scores, rankings: Mapping[str, Ranking], multilabel: bool
) -> list[dict[str, Any]]:
    rows = []
    for label, (name, ranking) in enumerate(rankings.items()):
        values = {column: array[label] for column, array in scores.items()}
        threshold, f1 = ranking.best_threshold()
        row = _row(name, values, judged.support[label], multilabel)
        rows.append({**row, "best_threshold": threshold, "best_f1": f1})
    return rows


def _row(name: str, values: Mapping[str, float], support: Any, multilabel: bool) -> dict[str, Any]:
    columns = ["precision", "recall", "f1_score", "average_precision", "auc", *([_IOU] if multilabel else [])]
    return {"class_name": name, "support": int(support), **{column: _rounded(values[column]) for column in columns}}


def _confusion_matrix(judged: Judged, classes: Sequence[str]) -> dict[str, Any]:
    count = len(classes)
    cells = judged.truth.argmax(axis=1) * count + judged.said.argmax(axis=1)
    matrix = np.bincount(cells, minlength=count * count).reshape(count, count)
    return {"class_labels": list(classes), "matrix": matrix.tolist()}


def _precision_recall(pooled: Ranking, by_class: Mapping[str, Ranking]) -> dict[str, Curve]:
    mean = precision_recall_curves([pooled], [charts.POOLED])["pr_curve"]
    return {**precision_recall_curves(list(by_class.values()), list(by_class)), "pr_curve": mean}


def _per_image(judged: Judged, multilabel: bool) -> dict[str, list[float]]:
    if multilabel:
        of_decisions = np.where(judged.said, judged.probabilities, 1 - judged.probabilities)
        return {"confidence": _listed(of_decisions.mean(axis=1)), "correct": _listed(judged.overlaps())}
    return {"confidence": _listed(judged.probabilities.max(axis=1)), "correct": _listed(judged.exact())}


def _listed(values: ArrayLike) -> list[float]:
    listed: list[float] = np.asarray(values, dtype=np.float64).round(DIGITS).tolist()
    return listed


def _mean(values: ArrayLike) -> float:
    array = np.asarray(values)
    return _rounded(array.mean()) if len(array) else UNDEFINED


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS)
