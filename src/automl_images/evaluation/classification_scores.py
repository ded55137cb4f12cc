"""What each class scores, and the averages over classes (specification H.1).

Owns the definition of every number: which classes an image is said to have, and how values that are not defined are
treated. Names of metrics and tables are `classification.py`'s, curves are `classification_curves.py`'s. The definitions
are scikit-learn's (tests compare the two); all values are computed here from one sort of each class, in a tenth of the
time that its functions would take in every epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automl_images.core.errors import ModelError
from automl_images.core.types import FloatArray, IntArray
from automl_images.evaluation.voc import UNDEFINED, Ranking, Values, mean_of_defined, ratio

BoolArray = NDArray[np.bool_]
Scores = dict[str, Values]

_BEYOND = 1e-4
"""How far rounding may carry a probability out of [0, 1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """Images with what is annotated and what is said of them.

    Attributes:
        probabilities: `(N, C)` float32 in [0, 1].
        truth: `(N, C)` bool, the annotated classes.
        said: `(N, C)` bool, the predicted classes.
    """

    probabilities: FloatArray
    truth: BoolArray
    said: BoolArray

    @property
    def support(self) -> IntArray:
        """Number of images that have each class `(C,)`."""
        return np.count_nonzero(self.truth, axis=0)

    @property
    def predictions(self) -> IntArray:
        """Number of images that are said to have each class `(C,)`."""
        return np.count_nonzero(self.said, axis=0)

    @property
    def hits(self) -> IntArray:
        """Number of images that rightly are said to have each class `(C,)`."""
        return np.count_nonzero(self.truth & self.said, axis=0)

    def exact(self) -> BoolArray:
        """Return which images are said to have exactly the annotated classes `(N,)`."""
        return (self.truth == self.said).all(axis=1)

    def overlaps(self) -> Values:
        """Return the Jaccard index of annotated and predicted classes of each image `(N,)`; 1 where both are empty."""
        union = np.count_nonzero(self.truth | self.said, axis=1)
        return np.where(union > 0, ratio(np.count_nonzero(self.truth & self.said, axis=1), union), 1.0)


def judge(probabilities: ArrayLike, truth: ArrayLike, *, multilabel: bool, score_threshold: float) -> Judged:
    """Decide which classes each image is said to have.

    Args:
        probabilities: `(N, C)` in [0, 1].
        truth: `(N,)` labels, or `(N, C)` bool where an image has any number of classes.
        multilabel: the classes with at least the threshold are said; else the one most probable (the first of equals).
        score_threshold: compared as float32, so that 0.7 reaches 0.7.

    Raises:
        ValueError: shapes do not fit, a label is out of range, or numbers are not probabilities.
        ModelError: a probability is not a finite number.
    """
    found = _probabilities(probabilities)
    known = np.asarray(truth)
    expected = found.shape if multilabel else found.shape[:1]
    if known.shape != expected:
        raise ValueError(f"Expected truth of shape {expected} for {len(found)} images, got {known.shape}.")
    if multilabel:
        return Judged(found, known.astype(np.bool_), found >= np.float32(score_threshold))
    num_classes = found.shape[1]
    wrong = np.flatnonzero((known < 0) | (known >= num_classes))
    if len(wrong):
        raise ValueError(f"Expected annotated labels from 0 to {num_classes - 1}, got {int(known[wrong[0]])}.")
    labels = np.arange(num_classes)
    most_probable = found.argmax(axis=1)
    return Judged(found, known[:, None] == labels, most_probable[:, None] == labels)


def _probabilities(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"Expected probabilities of shape (images, classes), got {array.shape}.")
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(wrong):
        raise ModelError(
            f"Expected finite probabilities, got {array[wrong[0]].tolist()} for image number {wrong[0]}: the model's "
            "weights or its input are broken; train it anew."
        )
    if array.size and (array.min() < -_BEYOND or array.max() > 1 + _BEYOND):
        raise ValueError(
            f"Expected probabilities from 0 to 1, got {array.min():g} to {array.max():g}: "
            "pass the softmax or sigmoid of logits."
        )
    return np.clip(array, 0.0, 1.0)


def rank_classes(judged: Judged) -> list[Ranking]:
    """Return the images by falling probability of each class."""
    return [_rank(*column) for column in zip(judged.probabilities.T, judged.truth.T, strict=True)]


def rank_pooled(judged: Judged) -> Ranking:
    """Return every class of every image by falling probability."""
    return _rank(judged.probabilities.ravel(), judged.truth.ravel())


def _rank(scores: FloatArray, known: BoolArray) -> Ranking:
    order = np.argsort(-scores)
    hits = np.cumsum(known[order], dtype=np.int64)
    return Ranking(scores[order], hits, int(np.count_nonzero(known)))


def steps(ranking: Ranking) -> tuple[IntArray, IntArray]:
    """Return how many images are said to have the class, and how many rightly, as the threshold falls.

    Both are `(n,)`, start at 0, and have one entry for each distinct score; the ranking must not be empty.
    """
    last_of_equals = np.append(ranking.scores[1:] != ranking.scores[:-1], True)
    kept = np.flatnonzero(last_of_equals) + 1
    return np.concatenate([[0], kept]), np.concatenate([[0], ranking.hits[last_of_equals]])


def average_precision(ranking: Ranking) -> float:
    """Return the sum of precision over gains of recall, without envelope; UNDEFINED where no image has the class."""
    if not ranking.ground_truths:
        return UNDEFINED
    kept, hits = steps(ranking)
    return float(np.sum(np.diff(hits) * (hits[1:] / kept[1:])) / ranking.ground_truths)


def area_under_roc(ranking: Ranking) -> float:
    """Return the area under the ROC curve; UNDEFINED where no image has the class or all have it."""
    positives, negatives = ranking.ground_truths, len(ranking.hits) - ranking.ground_truths
    if not positives or not negatives:
        return UNDEFINED
    kept, hits = steps(ranking)
    return float(np.trapezoid(hits, kept - hits) / (positives * negatives))


def class_scores(judged: Judged, rankings: Sequence[Ranking]) -> Scores:
    """Return the values of each class by name, each `(C,)`, not rounded; `rankings` are one a class.

    Names: `precision`, `recall`, `f1_score`, `iou`, `average_precision`, `auc` (one class against the rest). Precision
    is UNDEFINED for a class never predicted, the others for one that no image has, `auc` also for one that all have.
    """
    return _shares(judged.hits, judged.predictions, judged.support) | _areas(rankings)


def averages(judged: Judged, scores: Scores, pooled: Ranking) -> dict[str, dict[str, float]]:
    """Return `micro`, `macro` and `weighted`, each the averages of the values of `class_scores` by name, not rounded.

    Micro pools all decisions on images and classes. Macro is the mean over the classes that the images have and whose
    value is defined, weighted the same by number of images. The precision of a class never predicted counts as 0.

    Args:
        judged: the images.
        scores: of `class_scores`.
        pooled: the ranking of all probabilities.
    """
    totals = (np.array([counts.sum()]) for counts in (judged.hits, judged.predictions, judged.support))
    micro = {name: float(values[0]) for name, values in (_shares(*totals) | _areas([pooled])).items()}
    present = judged.support > 0
    if present.any():
        micro["precision"] = max(micro["precision"], 0.0)
    counted = {**scores, "precision": np.maximum(scores["precision"], 0.0)}
    chosen = {name: np.where(present, values, UNDEFINED) for name, values in counted.items()}
    return {
        "micro": micro,
        "macro": {name: float(mean_of_defined(values)) for name, values in chosen.items()},
        "weighted": {name: _weighted(values, judged.support) for name, values in chosen.items()},
    }


def _areas(rankings: Sequence[Ranking]) -> Scores:
    return {
        "average_precision": np.array([average_precision(ranking) for ranking in rankings]),
        "auc": np.array([area_under_roc(ranking) for ranking in rankings]),
    }


def _shares(hits: IntArray, predictions: IntArray, support: IntArray) -> Scores:
    def defined(values: Any) -> Values:
        return np.where(support > 0, values, UNDEFINED)

    return {
        "precision": ratio(hits, predictions),
        "recall": ratio(hits, support),
        "f1_score": defined(ratio(2 * hits, predictions + support)),
        "iou": defined(ratio(hits, predictions + support - hits)),
    }


def _weighted(values: Values, support: IntArray) -> float:
    weights = np.where(values != UNDEFINED, support, 0)
    return float(ratio((weights * values).sum(), weights.sum()))
