"""The gate between training and use: an exported model must give the results of the network it came from.

Both sides run through the same `Predictor` on validation images: alone and in batches, at other sizes and shapes, and
where nothing is found. Detections are compared as sets (`matching.py`). Whether torch's own evaluation in training
agrees with this pipeline is the task's to show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from automl_images.core.errors import ParityError
from automl_images.core.types import Detections, ImageArray
from automl_images.export.matching import Cuts, compare
from automl_images.inference.predictor import Predictor

EVALUATION_SCORE = 0.01
METRICS = ("reference_metric", "candidate_metric")
SINGLE_IMAGES = 8
RESIZED_IMAGES = 4

Metric = Callable[[Sequence[Detections], Sequence[Any]], float]


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerances:
    """What may differ.

    Attributes:
        boxes: pixels, of images up to 1,000 px; larger images in proportion.
        scores: absolute.
        metric: absolute difference of the primary metric.
        outliers: share of detections that may differ by more or have no partner: where two proposals inside an R-CNN
            overlap by exactly the threshold of its suppression, rounding decides which one is refined.
    """

    boxes: float = 0.1
    scores: float = 1e-3
    metric: float = 1e-3
    outliers: float = 0.002


@dataclasses.dataclass(frozen=True, slots=True)
class CaseReport:
    """One comparison.

    Attributes:
        name: what was compared; images: how many.
        detections: of the reference; matched: pairs.
        largest_box_difference: pixels; largest_score_difference: over all pairs.
        label_mismatches: pairs with unequal labels; unmatched: detections of either side without a partner.
        near_ties: detections without a partner that lie at a cut, where rounding decides; not counted as unmatched.
        outliers: pairs beyond tolerance or with unequal labels, and unmatched; passed: few enough of them.
    """

    name: str
    images: int
    detections: int
    matched: int
    largest_box_difference: float
    largest_score_difference: float
    label_mismatches: int
    unmatched: int
    near_ties: int
    outliers: int
    passed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ParityReport:
    """All comparisons and the verdict.

    Attributes:
        passed: every case and the metric agree within the tolerances, and there was something to compare.
        reference_metric, candidate_metric: the primary metric of torch and of onnxruntime on the validation images.
        score_threshold: lowest score compared.
    """

    passed: bool
    reference_metric: float
    candidate_metric: float
    score_threshold: float
    cases: tuple[CaseReport, ...]
    tolerances: Tolerances

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary; a metric that is not defined is None."""
        values = dataclasses.asdict(self)
        for name in METRICS:
            values[name] = values[name] if np.isfinite(values[name]) else None
        return values


def check_parity(
    reference: Predictor,
    candidate: Predictor,
    images: Sequence[ImageArray],
    truths: Sequence[Any],
    metric: Metric,
    *,
    tolerances: Tolerances | None = None,
    batch_size: int = 4,
) -> ParityReport:
    """Compare two predictors of one model.

    Args:
        reference: with a `TorchBackend`.
        candidate: the exported file.
        images: validation images, some dozens.
        truths: what `metric` wants beside the predictions, one an image.
        metric: primary metric of predictions and truths.
        tolerances: None: the defaults.
        batch_size: images in a pass where batches are tried.

    Returns:
        A report; nothing is raised for a difference, see `require_parity`.

    Raises:
        ModelError: one side cannot run an input at all.
    """
    tolerances = tolerances or Tolerances()
    score = max(EVALUATION_SCORE, candidate.metadata.graph_score_threshold)
    if not any(len(found) for found in reference.predict(images[:SINGLE_IMAGES], score_threshold=score)):
        score = candidate.metadata.graph_score_threshold  # hardly trained: compare what there is
    cuts = _cuts(candidate, score, tolerances)
    expected = reference.predict(images, score_threshold=score, batch_size=batch_size)
    given = candidate.predict(images, score_threshold=score, batch_size=batch_size)
    singles = candidate.predict(images[:SINGLE_IMAGES], score_threshold=score, batch_size=1)
    first = expected[: len(singles)]
    cases = [
        _case("validation images in batches", images, expected, given, cuts=cuts, tolerances=tolerances),
        _case("validation images one by one", images, first, singles, cuts=cuts, tolerances=tolerances),
    ]
    for name, others, floor in _other_inputs(images, score):
        left = reference.predict(others, score_threshold=floor, batch_size=batch_size)
        right = candidate.predict(others, score_threshold=floor, batch_size=batch_size)
        case_cuts = dataclasses.replace(cuts, score=floor)
        cases.append(_case(name, others, left, right, cuts=case_cuts, tolerances=tolerances))
    metrics = metric(expected, truths), metric(given, truths)
    compared = sum(case.detections for case in cases)
    agrees = _same_metric(*metrics, tolerances.metric) and all(case.passed for case in cases)
    return ParityReport(agrees and compared > 0, float(metrics[0]), float(metrics[1]), score, tuple(cases), tolerances)


def require_parity(report: Mapping[str, Any]) -> None:
    """Pass or stop.

    Args:
        report: as `ParityReport.as_dict` gave it, or read again from parity.json.

    Raises:
        ParityError: the report did not pass; the message names the case and the numbers.
    """
    if report["passed"]:
        return
    failed = [_describe(case) for case in report["cases"] if not case["passed"]]
    metrics = [np.nan if report[name] is None else report[name] for name in METRICS]
    if not _same_metric(*metrics, report["tolerances"]["metric"]):
        failed.append(f"primary metric {metrics[0]:.5f} against {metrics[1]:.5f}")
    reasons = "; ".join(failed) or "neither found anything, so nothing was compared: train longer"
    raise ParityError(
        f"The ONNX model does not give the results of the trained network: {reasons}. It is not registered; "
        "parity.json has all numbers."
    )


def _describe(case: Mapping[str, Any]) -> str:
    return (
        f"{case['name']}: {case['outliers']} of {case['detections']} detections differ (boxes up to "
        f"{case['largest_box_difference']:.3g} px, scores up to {case['largest_score_difference']:.3g}, "
        f"{case['label_mismatches']} labels, {case['unmatched']} without a partner)"
    )


def _same_metric(reference: float, candidate: float, tolerance: float) -> bool:
    return bool(np.isclose(reference, candidate, rtol=0, atol=tolerance, equal_nan=True))


def _cuts(predictor: Predictor, score: float, tolerances: Tolerances) -> Cuts:
    metadata = predictor.metadata
    overlaps = [metadata.nms_iou_threshold]
    if metadata.tile_grid_size is not None:
        overlaps.append(metadata.tile_predictions_nms_threshold)
    return Cuts(score, metadata.box_detections_per_image, tuple(overlaps), tolerances.scores)


def _case(
    name: str,
    images: Sequence[ImageArray],
    expected: Sequence[Detections],
    given: Sequence[Detections],
    *,
    cuts: Cuts,
    tolerances: Tolerances,
) -> CaseReport:
    matched = labels = unmatched = near_ties = outliers = 0
    box = score = 0.0
    for index, (left, right) in enumerate(zip(expected, given, strict=True)):
        result = compare(left, right, cuts)
        allowed = tolerances.boxes * max(1.0, max(images[index].shape[:2]) / 1000)
        wrong = (result.box > allowed) | (result.score > tolerances.scores) | result.label
        box, score = max(box, result.box.max(initial=0)), max(score, result.score.max(initial=0))
        matched, labels = matched + len(result.box), labels + int(result.label.sum())
        unmatched, near_ties = unmatched + result.unmatched, near_ties + result.near_ties
        outliers += int(wrong.sum()) + result.unmatched
    detections = sum(map(len, expected))
    return CaseReport(
        name,
        len(expected),
        detections,
        matched,
        round(float(box), 6),
        round(float(score), 8),
        labels,
        unmatched,
        near_ties,
        outliers,
        passed=outliers <= tolerances.outliers * detections,
    )


def _other_inputs(images: Sequence[ImageArray], score: float) -> Iterator[tuple[str, list[ImageArray], float]]:
    """Yield names, images and score thresholds of the further cases."""
    some = [images[index] for index in range(min(RESIZED_IMAGES, len(images)))]
    yield "images of other sizes and shapes", [other for image in some for other in _variants(image)], score
    height, width = some[0].shape[:2]
    generator = np.random.default_rng(0)
    grey = np.full((height, width, 3), 128, np.uint8)
    noise = generator.integers(96, 160, grey.shape, np.uint8)
    yield "grey and noise", [grey, noise], score
    yield "a threshold that nothing reaches", [*some, grey], 1.0


def _variants(image: ImageArray) -> list[ImageArray]:
    """Return a smaller copy of odd size, a tall and a wide part."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height - 1, max(3, int(height * 0.61) | 1)).astype(np.int64)
    columns = np.linspace(0, width - 1, max(3, int(width * 0.57) | 1)).astype(np.int64)
    tall, wide = image[:, : max(1, width // 2)], image[: max(1, height * 2 // 5)]
    return [np.ascontiguousarray(part) for part in (image[rows][:, columns], tall, wide)]
