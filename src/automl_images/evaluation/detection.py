"""The evaluation of a detector: every number and table of specification H.2 from predictions and ground truth.

Owns which metrics are reported under which name and at which score. By default average precision is measured on all the
detections given, which should come at a low score threshold (0.01 or less), while precision and recall, which say
little about detections that nobody would show, are taken at an operating threshold. The service that the specification
describes cuts the detections at `box_score_threshold` first and measures everything on the rest: pass that as
`score_threshold`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from automl_images.core.errors import SettingsError, unknown_name
from automl_images.core.types import Detections, Objects
from automl_images.data.mask_codes import T, encoded
from automl_images.evaluation import curves
from automl_images.evaluation.coco import AVERAGE_PRECISION_50, RECALL_POINTS, coco_matches, coco_metrics
from automl_images.evaluation.matching import Matches, match, pool_objects
from automl_images.evaluation.voc import DIGITS, VocResult, voc_metrics, voc_result

METRIC_TYPES = ("voc", "coco", "coco_voc")
"""Values of `validation_metric_type` that measure something."""

OPERATING_THRESHOLD = 0.3
"""Default of `box_score_threshold` (specification B.4)."""
EVALUATION_SCORE = 0.01
"""Score from which detections count for the mean average precision, unless `box_score_threshold` is lower; far below
what is shown to anyone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """All that is known about a detector's predictions.

    Attributes:
        metrics: flat numbers by name: `mean_average_precision`, `precision`, `recall`, with a COCO metric type also the
            names of `coco.NAMES`.
        per_label_metrics: a row per class: `class_name`, `precision`, `recall`, `average_precision`, `best_threshold`,
            `best_f1`, `ground_truths`, `detections`.
        pr_curves: `pr_curve` and `pr_curve_<class>`.
        confusion_matrix: at the operating threshold; confusion_matrices: at 0.0, 0.1, … 0.9.
        image_level: `image_level_binary_classifier_metrics`.
        best_thresholds: the score with the largest F1, by class name; classes without a matched detection are absent.
        per_image: `true_positives`, `false_positives`, `false_negatives` of each image at the operating threshold.
        operating_threshold: score from which detections count for precision, recall and counts.
        matches: what `mean_average_precision` is made of, for further measures, such as
            `bootstrap.mean_average_precision_interval`; not in `as_dict`.
        recall_points: number of recalls over which it averages, None: all; not in `as_dict`.
    """

    metrics: dict[str, float]
    per_label_metrics: list[dict[str, Any]]
    pr_curves: dict[str, curves.Curve]
    confusion_matrix: dict[str, Any]
    confusion_matrices: dict[str, dict[str, Any]]
    image_level: curves.Curve
    best_thresholds: dict[str, float]
    per_image: dict[str, list[int]]
    operating_threshold: float
    matches: Matches
    recall_points: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the last two as JSON-serialisable dictionary."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[:-2]}


def lowest_score(box_score_threshold: float) -> float:
    """Return the score below which networks, graphs and predictions hold no detections."""
    return min(EVALUATION_SCORE, box_score_threshold)


def detection_metrics(
    predictions: Sequence[Detections],
    truths: Sequence[Objects],
    num_classes: int,
    *,
    iou_threshold: float = 0.5,
    metric_type: str = "voc",
    score_threshold: float | None = None,
    operating_threshold: float = OPERATING_THRESHOLD,
) -> dict[str, float]:
    """Return only the flat numbers of `evaluate_detections`, for use in every epoch; arguments as there."""
    _check(metric_type)
    predictions, truths = _encoded(predictions), _encoded(truths)
    predictions, operating_threshold = _cut(predictions, score_threshold, operating_threshold)
    result = voc_metrics(predictions, truths, num_classes, iou_threshold, operating_threshold)
    return _metrics(result, predictions, truths, num_classes, metric_type)


def evaluate_detections(
    predictions: Sequence[Detections],
    truths: Sequence[Objects],
    classes: Sequence[str],
    *,
    iou_threshold: float = 0.5,
    metric_type: str = "voc",
    score_threshold: float | None = None,
    operating_threshold: float = OPERATING_THRESHOLD,
) -> Evaluation:
    """Measure predictions against ground truth: masks where every object carries one, else boxes.

    Masks may come as arrays or as codes (`mask_codes.encoded`), which many images need for want of memory.

    Args:
        predictions: one per image, at a low score threshold.
        truths: one per image, in the same order.
        classes: names by label.
        iou_threshold: smallest overlap of a match (`validation_iou_threshold`).
        metric_type: `voc`; `coco_voc` adds COCO's numbers; `coco` adds them and makes COCO's average precision at an
            overlap of 0.50 the `mean_average_precision`.
        score_threshold: None measures average precision on all detections; a number first drops those below it, as the
            service does with `box_score_threshold`, and is then the operating threshold too.
        operating_threshold: score from which detections count for precision, recall and counts.

    Raises:
        SettingsError: unknown `metric_type`.
        ValueError: different numbers of images, or a label out of range.
        ModelError: a predicted box or score is not finite.
    """
    _check(metric_type)
    predictions, truths = _encoded(predictions), _encoded(truths)
    predictions, operating_threshold = _cut(predictions, score_threshold, operating_threshold)
    pool = pool_objects(predictions, truths, len(classes))
    matches, across = match(pool, iou_threshold), match(pool, iou_threshold, across_classes=True)
    result = voc_result(matches, operating_threshold)
    rows = [_label_row(name, result, label) for label, name in enumerate(classes)]
    coco = metric_type == "coco"
    return Evaluation(
        metrics=_metrics(result, predictions, truths, len(classes), metric_type),
        per_label_metrics=rows,
        pr_curves=curves.precision_recall_curves(result.rankings, classes),
        confusion_matrix=curves.confusion_matrix(across, classes, operating_threshold),
        confusion_matrices=curves.confusion_matrices(across, classes),
        image_level=curves.image_level_metrics(matches),
        best_thresholds={row["class_name"]: row["best_threshold"] for row in rows if row["best_f1"] > 0},
        per_image=curves.image_counts(matches, operating_threshold),
        operating_threshold=operating_threshold,
        matches=coco_matches(predictions, truths, len(classes)) if coco else matches,
        recall_points=RECALL_POINTS if coco else None,
    )


def _check(metric_type: str) -> None:
    if metric_type not in METRIC_TYPES:
        raise SettingsError(unknown_name("metric type", metric_type, METRIC_TYPES))


def _encoded(items: Sequence[T]) -> list[T]:
    return [encoded(item) for item in items]


def _cut(
    predictions: Sequence[Detections], score_threshold: float | None, operating_threshold: float
) -> tuple[Sequence[Detections], float]:
    if score_threshold is None:
        return predictions, operating_threshold
    return [found.take(found.scores >= np.float32(score_threshold)) for found in predictions], score_threshold


def _metrics(
    result: VocResult, predictions: Sequence[Detections], truths: Sequence[Objects], num_classes: int, metric_type: str
) -> dict[str, float]:
    metrics = {
        "mean_average_precision": result.mean_average_precision,
        "precision": result.precision,
        "recall": result.recall,
    }
    if metric_type == "voc":
        return metrics
    coco = coco_metrics(predictions, truths, num_classes)
    if metric_type == "coco":
        metrics["mean_average_precision"] = round(coco[AVERAGE_PRECISION_50], DIGITS)
    return metrics | coco


def _label_row(name: str, result: VocResult, label: int) -> dict[str, Any]:
    values = dataclasses.asdict(result.per_class[label])
    threshold, f1 = result.rankings[label].best_threshold()
    return {"class_name": name, "best_threshold": threshold, "best_f1": f1, **values}
