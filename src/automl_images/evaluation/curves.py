"""Tables over score thresholds: precision-recall curves, confusion matrices, image-level metrics (specification H.2).

Owns the tables and their names; they are plain lists and numbers, ready for JSON. Undefined values are -1
(`UNDEFINED`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import FloatArray, IntArray
from automl_images.evaluation.matching import IGNORED, MATCHED, UNMATCHED, Matches
from automl_images.evaluation.voc import DIGITS, Ranking, mean_of_defined, ratio

CURVE_THRESHOLDS = np.arange(100) / 100
"""0.00, 0.01, … 0.99."""

MATRIX_THRESHOLDS = np.arange(10) / 10
"""0.0, 0.1, … 0.9."""

MISSED = "Missed"
"""Name of a confusion matrix's last column: objects that no detection took."""

Curve = dict[str, list[float]]


def precision_recall_curves(rankings: Sequence[Ranking], classes: Sequence[str]) -> dict[str, Curve]:
    """Return `pr_curve` (mean over the classes where defined) and `pr_curve_<class>`.

    Each holds `thresholds`, `precision` and `recall` of the detections with at least that score, 100 values each.
    """
    pairs = [ranking.precision_recall_at(CURVE_THRESHOLDS) for ranking in rankings]
    mean = (mean_of_defined([p for p, _ in pairs]), mean_of_defined([r for _, r in pairs]))
    named = zip(["pr_curve", *(f"pr_curve_{name}" for name in classes)], [mean, *pairs], strict=True)
    return {name: _curve(precision, recall) for name, (precision, recall) in named}


def image_level_metrics(matches: Matches) -> Curve:
    """Return `image_level_binary_classifier_metrics`: does the detector tell images with objects from those without?

    At each of 100 thresholds an image is called positive when a detection that counts reaches it, and rightly so when
    a matched one does; images with an object (crowds not counted) are truly positive.

    Args:
        matches: within classes.

    Returns:
        `thresholds`, `precision`, `recall`, 100 values each.
    """
    called = _images_reaching(matches, matches.outcome != IGNORED)
    right = _images_reaching(matches, matches.outcome == MATCHED)
    positive = len(np.unique(matches.truth_image[~matches.truth_crowd]))
    return _curve(ratio(right, called), ratio(right, np.full_like(right, positive)))


def confusion_matrices(matches: Matches, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return `confusion_matrix_score_threshold_<0.0 … 0.9>`; see `confusion_matrix`."""
    return {
        f"confusion_matrix_score_threshold_{t:.1f}": confusion_matrix(matches, classes, t) for t in MATRIX_THRESHOLDS
    }


def confusion_matrix(matches: Matches, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """Return who was taken for whom by the detections with at least a score.

    Args:
        matches: across classes.
        classes: names by label.
        score_threshold: in [0, 1].

    Returns:
        `class_labels` (column names, the last is Missed), `score_threshold`, `matrix` (C x (C + 1) counts: rows are
        annotated classes) and, our addition, `background` (C counts by detected class: detections that took no object).
    """
    count = len(classes)
    kept = matches.score >= np.float32(score_threshold)
    matched = kept & (matches.outcome == MATCHED)
    cells = matches.truth_label[matches.truth[matched]] * count + matches.label[matched]
    taken = np.bincount(cells, minlength=count * count).reshape(count, count)
    objects = np.bincount(matches.truth_label[~matches.truth_crowd], minlength=count)
    background = np.bincount(matches.label[kept & (matches.outcome == UNMATCHED)], minlength=count)
    return {
        "class_labels": [*classes, MISSED],
        "score_threshold": float(score_threshold),
        "matrix": np.column_stack((taken, objects - taken.sum(axis=1))).tolist(),
        "background": background.tolist(),
    }


def image_counts(matches: Matches, score_threshold: float) -> dict[str, list[int]]:
    """Return per image, for detections with at least a score, `true_positives`, `false_positives`, `false_negatives`.

    Args:
        matches: within classes.
        score_threshold: in [0, 1].
    """
    kept = matches.score >= np.float32(score_threshold)
    right = _per_image(matches, matches.image[kept & (matches.outcome == MATCHED)])
    wrong = _per_image(matches, matches.image[kept & (matches.outcome == UNMATCHED)])
    objects = _per_image(matches, matches.truth_image[~matches.truth_crowd])
    return {
        "true_positives": right.tolist(),
        "false_positives": wrong.tolist(),
        "false_negatives": (objects - right).tolist(),
    }


def _per_image(matches: Matches, images: IntArray) -> IntArray:
    return np.bincount(images, minlength=matches.images)


def _images_reaching(matches: Matches, chosen: NDArray[np.bool_]) -> IntArray:
    """Return at each curve threshold the number of images with a chosen detection of at least that score."""
    _, first = np.unique(matches.image[chosen], return_index=True)
    best: FloatArray = np.sort(matches.score[chosen][first])
    return len(best) - np.searchsorted(best, CURVE_THRESHOLDS.astype(np.float32), side="left")


def _curve(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Curve:
    return {
        "thresholds": CURVE_THRESHOLDS.tolist(),
        "precision": precision.round(DIGITS).tolist(),
        "recall": recall.round(DIGITS).tolist(),
    }
