"""VOC-style average precision, precision and recall (specification H.2).

Owns what is computed from one class's ranked detections. Matching is `matching.py`'s, tables and curves at fixed
thresholds are `curves.py`'s. The area under the envelope of all points is the measure of the PASCAL VOC development kit
from 2010 on (Everingham et al., IJCV 2010, section 4.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automl_images.core.types import Detections, FloatArray, IntArray, Objects
from automl_images.evaluation.matching import IGNORED, MATCHED, Matches, match, pool_objects

UNDEFINED = -1.0
"""Stands for a ratio whose denominator is zero; means leave it out."""

DIGITS = 5
Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """The detections of one class that count (those on crowds do not), by falling score.

    Attributes:
        scores: `(n,)` float32, falling.
        hits: `(n,)` int64, matched detections among the first 1, 2, … n.
        ground_truths: number of annotated objects, crowds not counted.
    """

    scores: FloatArray
    hits: IntArray
    ground_truths: int

    def curve(self) -> tuple[Values, Values]:
        """Return recall and precision `(n + 1,)` after each detection, the point (0, 1) before them.

        Recall is all UNDEFINED without ground truth.
        """
        precision = self.hits / np.arange(1, len(self.hits) + 1)
        recall = ratio(self.hits, np.full(len(self.hits), self.ground_truths))
        start = 0.0 if self.ground_truths else UNDEFINED
        return np.concatenate([[start], recall]), np.concatenate([[1.0], precision])

    def average_precision(self) -> float:
        """Return the area under the envelope (largest precision at this recall or beyond), UNDEFINED without truth."""
        if not self.ground_truths:
            return UNDEFINED
        recall, precision = self.curve()
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * envelope[1:]))

    def counts_at(self, thresholds: ArrayLike) -> tuple[IntArray, IntArray]:
        """Return how many detections have at least each of the scores, and how many of them are matched.

        Scores and thresholds are compared as float32, so that a score of 0.7 reaches a threshold of 0.7.
        """
        kept = np.searchsorted(-self.scores, -np.asarray(thresholds, dtype=np.float32), side="right")
        return kept, np.concatenate([[0], self.hits])[kept]

    def precision_recall_at(self, thresholds: ArrayLike) -> tuple[Values, Values]:
        """Return precision and recall of the detections that have at least each of the scores, UNDEFINED included."""
        kept, hits = self.counts_at(thresholds)
        return ratio(hits, kept), ratio(hits, np.full(hits.shape, self.ground_truths))

    def best_threshold(self) -> tuple[float, float]:
        """Return the score threshold with the largest F1 (the highest of equals) and that F1.

        The threshold is rounded down to 5 digits, so that the detection that defines it passes.
        Both are UNDEFINED when no detection is matched.
        """
        if not len(self.hits) or not self.hits[-1]:
            return UNDEFINED, UNDEFINED
        last_of_equals = np.append(self.scores[:-1] != self.scores[1:], True)
        f1 = 2 * self.hits / (np.arange(1, len(self.hits) + 1) + self.ground_truths)
        best = int(np.argmax(np.where(last_of_equals, f1, -1.0)))
        return float(np.floor(float(self.scores[best]) * 10**DIGITS) / 10**DIGITS), round(float(f1[best]), DIGITS)


@dataclasses.dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Values of one class, UNDEFINED (-1) where the denominator is zero.

    Attributes:
        precision, recall: of the detections at or above the operating threshold.
        ground_truths: annotated objects, crowds not counted.
        detections: detections at or above the operating threshold, those on crowds not counted.
    """

    average_precision: float
    precision: float
    recall: float
    ground_truths: int
    detections: int

    def rounded(self) -> ClassMetrics:
        """Return the values rounded to 5 digits."""
        names = ("average_precision", "precision", "recall")
        return dataclasses.replace(self, **{name: round(getattr(self, name), DIGITS) for name in names})


@dataclasses.dataclass(frozen=True, slots=True)
class VocResult:
    """Means over the classes whose value is defined (-1 when none is), and the classes; rounded to 5 digits."""

    mean_average_precision: float
    precision: float
    recall: float
    per_class: list[ClassMetrics]
    rankings: list[Ranking]


def voc_metrics(
    predictions: Sequence[Detections],
    truths: Sequence[Objects],
    num_classes: int,
    iou_threshold: float = 0.5,
    operating_threshold: float = 0.0,
) -> VocResult:
    """Return the VOC metrics of a data set: of masks where every object carries one, else of boxes.

    Args:
        predictions: one per image.
        truths: one per image, in the same order.
        num_classes: labels lie in `[0, num_classes)`.
        iou_threshold: smallest overlap of a match.
        operating_threshold: score from which detections count for precision and recall; 0 gives the values at the
            lowest score kept. Average precision always uses all detections.

    Raises:
        ValueError: different numbers of images, or a label out of range.
        ModelError: a predicted box or score is not finite.
    """
    return voc_result(match(pool_objects(predictions, truths, num_classes), iou_threshold), operating_threshold)


def voc_result(matches: Matches, operating_threshold: float = 0.0) -> VocResult:
    """Return the VOC metrics of detections that are already matched within their classes; see `voc_metrics`."""
    ranked = rankings(matches)
    per_class = [_class_metrics(ranking, operating_threshold) for ranking in ranked]
    means = mean_of_defined([(c.average_precision, c.precision, c.recall) for c in per_class] or [(UNDEFINED,) * 3])
    average_precision, precision, recall = means.round(DIGITS).tolist()
    return VocResult(average_precision, precision, recall, [c.rounded() for c in per_class], ranked)


def rankings(matches: Matches) -> list[Ranking]:
    """Return one ranking per class."""
    counted = matches.outcome != IGNORED
    label = matches.label[counted]
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(matches.num_classes + 1))
    scores, hit = matches.score[counted][order], (matches.outcome[counted] == MATCHED)[order]
    truths = np.bincount(matches.truth_label[~matches.truth_crowd], minlength=matches.num_classes)
    return [
        Ranking(scores[a:b], np.cumsum(hit[a:b], dtype=np.int64), int(n))
        for a, b, n in zip(bounds[:-1], bounds[1:], truths, strict=True)
    ]


def mean_of_defined(values: ArrayLike, axis: int = 0) -> Values:
    """Return the mean over `axis` of the values that are not UNDEFINED; UNDEFINED where there are none."""
    array = np.asarray(values, dtype=np.float64)
    defined = array != UNDEFINED
    return ratio(np.where(defined, array, 0.0).sum(axis=axis), defined.sum(axis=axis))


def _class_metrics(ranking: Ranking, threshold: float) -> ClassMetrics:
    precision, recall = ranking.precision_recall_at(threshold)
    kept, _ = ranking.counts_at(threshold)
    return ClassMetrics(
        ranking.average_precision(), float(precision), float(recall), ranking.ground_truths, detections=int(kept)
    )


def ratio(part: ArrayLike, whole: ArrayLike) -> Values:
    """Return `part / whole`, UNDEFINED where `whole` is zero."""
    part, whole = np.asarray(part), np.asarray(whole)
    result = np.full(whole.shape, UNDEFINED)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
