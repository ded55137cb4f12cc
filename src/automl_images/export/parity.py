"""The gate between training and use: an exported model must give the results of the network it came from.

Both sides run through the same `Predictor` on validation images: alone and in batches, at other sizes and shapes, and
where nothing is found. Final detections are compared as sets (`matching.py`); a graph without suppression is compared
number by number before it. Whether torch's own evaluation in training
agrees with this pipeline is the task's to show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.errors import ParityError
from automl_images.core.types import Detections, ImageArray
from automl_images.export.matching import Cuts, compare
from automl_images.inference.decoders import ALIGNED
from automl_images.inference.detection_predictor import DetectionPredictor

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
        detections: of the reference (before suppression where the graph leaves that to the caller); matched: pairs.
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
        same_settings: both sides have the same classes, preprocessing and thresholds.
        score_threshold: lowest score compared.
    """

    passed: bool
    reference_metric: float
    candidate_metric: float
    same_settings: bool
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
    reference: DetectionPredictor,
    candidate: DetectionPredictor,
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
    sides = reference, candidate
    expected, given = (side.predict(images, score_threshold=score, batch_size=batch_size) for side in sides)
    metrics = float(metric(expected, truths)), float(metric(given, truths))
    if candidate.metadata.decoder in ALIGNED:
        cases = [_compare_outputs(sides, case, tolerances) for case in _cases(images, score, batch_size)]
    else:
        whole = _Case("all validation images in batches", images, score, batch_size)
        cases = [_compare_detections(sides, whole, tolerances, (expected, given))]
        cases += [_compare_detections(sides, case, tolerances) for case in _cases(images, score, batch_size)]
    nothing = _Case("a threshold that nothing reaches", images[:RESIZED_IMAGES], 1.0, batch_size)
    cases.append(_compare_detections(sides, nothing, tolerances))
    same_settings = reference.metadata == candidate.metadata
    agrees = same_settings and _same_metric(*metrics, tolerances.metric) and all(case.passed for case in cases)
    compared = sum(case.detections for case in cases)
    return ParityReport(agrees and compared > 0, *metrics, same_settings, score, tuple(cases), tolerances)


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
    if not _same_metric(metrics[0], metrics[1], report["tolerances"]["metric"]):
        failed.append(f"primary metric {metrics[0]:.5f} against {metrics[1]:.5f}")
    if not report["same_settings"]:
        failed.append("classes, preprocessing or thresholds of both sides differ")
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Case:
    name: str
    images: Sequence[ImageArray]
    score: float
    batch_size: int


def _cases(images: Sequence[ImageArray], score: float, batch_size: int) -> Iterator[_Case]:
    some = [images[index] for index in range(min(SINGLE_IMAGES, len(images)))]
    noise = np.random.default_rng(0).integers(96, 160, some[0].shape, np.uint8)
    varied = [variant for image in some[:RESIZED_IMAGES] for variant in _variants(image)]
    yield _Case("some validation images in batches", some, score, batch_size)
    yield _Case("some validation images one by one", some, score, 1)
    yield _Case("images of other sizes and shapes", varied, score, batch_size)
    yield _Case("grey noise", [noise], score, 1)


def _variants(image: ImageArray) -> list[ImageArray]:
    """Return a smaller copy of odd size, a tall and a wide part."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height - 1, max(3, int(height * 0.61) | 1)).astype(np.int64)
    columns = np.linspace(0, width - 1, max(3, int(width * 0.57) | 1)).astype(np.int64)
    tall, wide = image[:, : max(1, width // 2)], image[: max(1, height * 2 // 5)]
    return [np.ascontiguousarray(part) for part in (image[rows][:, columns], tall, wide)]


def _compare_detections(
    sides: tuple[DetectionPredictor, DetectionPredictor],
    case: _Case,
    tolerances: Tolerances,
    found: tuple[list[Detections], list[Detections]] | None = None,
) -> CaseReport:
    """Compare final detections as sets."""
    if found is None:
        left, right = (
            side.predict(case.images, score_threshold=case.score, batch_size=case.batch_size) for side in sides
        )
        found = left, right
    cuts = _cuts(sides[1], case.score, tolerances)
    results = [compare(left, right, cuts) for left, right in zip(*found, strict=True)]
    boxes = np.concatenate([result.box for result in results])
    scores = np.concatenate([result.score for result in results])
    labels = np.concatenate([result.label for result in results])
    allowed = [
        np.full(len(result.box), _allowed(image, tolerances))
        for result, image in zip(results, case.images, strict=True)
    ]
    wrong = (boxes > np.concatenate(allowed)) | (scores > tolerances.scores) | labels
    unmatched, detections = sum(result.unmatched for result in results), sum(map(len, found[0]))
    outliers = int(wrong.sum()) + unmatched
    return CaseReport(
        name=case.name,
        images=len(case.images),
        detections=detections,
        matched=len(boxes),
        largest_box_difference=_largest(boxes),
        largest_score_difference=_largest(scores),
        label_mismatches=int(labels.sum()),
        unmatched=unmatched,
        near_ties=sum(result.near_ties for result in results),
        outliers=outliers,
        passed=outliers <= tolerances.outliers * detections,
    )


def _compare_outputs(
    sides: tuple[DetectionPredictor, DetectionPredictor], case: _Case, tolerances: Tolerances
) -> CaseReport:
    """Compare what the networks give before suppression number by number.

    What follows is the same code for both sides; behind it two boxes of equal score would swap places.
    """
    size = case.batch_size if all(side.backend.dynamic_batch for side in sides) else 1
    rows = wrong = labels = 0
    box = score = 0.0
    for left, right in zip(*(side.outputs(case.images, batch_size=size) for side in sides), strict=True):
        difference = np.abs(left[0] - right[0])
        boxes, scores = difference[..., :4].max(axis=-1), difference[..., 4:].max(axis=-1)
        wrong += int(((boxes > tolerances.boxes) | (scores > tolerances.scores)).sum())
        likely = left[0][..., 4] > case.score
        labels += int((left[0][likely][:, 5:].argmax(axis=1) != right[0][likely][:, 5:].argmax(axis=1)).sum())
        rows, box, score = rows + scores.size, max(box, _largest(boxes)), max(score, _largest(scores))
    return CaseReport(case.name, len(case.images), rows, rows, box, score, labels, 0, 0, wrong, passed=wrong == 0)


def _allowed(image: ImageArray, tolerances: Tolerances) -> float:
    return tolerances.boxes * max(1.0, max(image.shape[:2]) / 1000)


def _largest(values: NDArray[Any]) -> float:
    return round(float(values.max(initial=0)), 8)


def _cuts(predictor: DetectionPredictor, score: float, tolerances: Tolerances) -> Cuts:
    metadata = predictor.metadata
    overlaps = [metadata.nms_iou_threshold]
    if metadata.tile_grid_size is not None:
        overlaps.append(metadata.tile_predictions_nms_threshold)
    return Cuts(score, metadata.box_detections_per_image, tuple(overlaps), tolerances.scores)
