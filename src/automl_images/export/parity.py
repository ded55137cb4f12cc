"""The gate between training and use: an exported model must give the results of the network it came from.

Both sides run through the same `Predictor` on validation images, in the ways of `parity_cases.py`, and where nothing is
found. Final detections are compared as sets (`matching.py`); a graph without suppression is compared number by number
before it. The verdict stands in `parity_report.py`. Whether torch's own evaluation in training agrees with this
pipeline is the task's to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import Detections, FloatArray, ImageArray
from automl_images.data.mask_codes import encoded
from automl_images.export.matching import Comparison, Cuts, compare, mask_differences
from automl_images.export.parity_cases import RESIZED_IMAGES, Case, cases_of
from automl_images.export.parity_report import CaseReport, ParityReport, Tolerances, same_metric
from automl_images.inference.decoders import ALIGNED
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.found import Found

EVALUATION_SCORE = 0.01
MANY = 100
"""Detections from which on a single one that rounding has moved across a cut inside the network is put up with."""

Metric = Callable[[Sequence[Detections], Sequence[Any]], float]
_Sides = tuple[DetectionPredictor, DetectionPredictor]


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
        A report; nothing is raised for a difference, see `parity_report.require_parity`.

    Raises:
        ModelError: one side cannot run an input at all.
    """
    tolerances = tolerances or Tolerances()
    score = max(EVALUATION_SCORE, candidate.metadata.graph_score_threshold)
    sides = reference, candidate
    whole = Case(f"{len(images)} validation images in batches", images, score, batch_size)
    found = _found(sides, whole)
    expected, given = (
        float(metric(_finished(side, some, images), truths)) for side, some in zip(sides, found, strict=True)
    )
    cases = _compared_cases(sides, whole, found, tolerances)
    same_settings = reference.metadata == candidate.metadata
    agrees = same_settings and same_metric(expected, given, tolerances.metric) and all(case.passed for case in cases)
    compared = sum(case.detections for case in cases)
    return ParityReport(agrees and compared > 0, expected, given, same_settings, score, tuple(cases), tolerances)


def _compared_cases(sides: _Sides, whole: Case, found: list[list[Found]], tolerances: Tolerances) -> list[CaseReport]:
    """Compare on all images, whose detections `found` are there already, and on those of `cases_of`."""
    others = list(cases_of(whole.images, whole.score, whole.batch_size))
    if sides[1].metadata.decoder in ALIGNED:
        cases = [_compare_outputs(sides, case, tolerances) for case in others]
    else:
        cases = [_compare_detections(sides, whole, tolerances, found)]
        cases += [_compare_detections(sides, case, tolerances) for case in others]
    nothing = Case("a threshold that nothing reaches", whole.images[:RESIZED_IMAGES], 1.0, whole.batch_size)
    return [*cases, _compare_detections(sides, nothing, tolerances)]


def _found(sides: _Sides, case: Case) -> list[list[Found]]:
    return [side.found(case.images, score_threshold=case.score, batch_size=case.batch_size) for side in sides]


def _finished(side: DetectionPredictor, found: Sequence[Found], images: Sequence[ImageArray]) -> list[Detections]:
    """Return final detections; masks are coded image by image, as those of all images would fill the memory."""
    pairs = zip(found, images, strict=True)
    return [encoded(side.finished(one, image.shape[1], image.shape[0])) for one, image in pairs]


def _compare_detections(
    sides: _Sides, case: Case, tolerances: Tolerances, found: list[list[Found]] | None = None
) -> CaseReport:
    """Compare final detections as sets."""
    left, right = _found(sides, case) if found is None else found
    cuts = _cuts(sides[1], case.score, tolerances)
    pairs = list(zip(left, right, strict=True))
    results = [compare(one.detections, other.detections, cuts) for one, other in pairs]
    boxes, scores, labels = (
        np.concatenate([getattr(result, name) for result in results]) for name in ("box", "score", "label")
    )
    masks = np.concatenate([_mask_differences(*pair, result) for pair, result in zip(pairs, results, strict=True)])
    allowed = np.concatenate(
        [np.full(len(r.box), _allowed(image, tolerances)) for r, image in zip(results, case.images, strict=True)]
    )
    wrong = (boxes > allowed) | (scores > tolerances.scores) | labels | (masks > tolerances.masks)
    unmatched, detections = sum(result.unmatched for result in results), sum(map(len, left))
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
        passed=outliers <= allowed_outliers(detections, tolerances.outliers),
        largest_mask_difference=_largest(masks) if any(one.grids is not None for one in left) else None,
    )


def _mask_differences(left: Found, right: Found, pairs: Comparison) -> FloatArray:
    """Return the differences of an image's pairs: 0 without masks, 1 where only one side has them."""
    if left.grids is None and right.grids is None:
        return np.zeros(len(pairs.left), np.float32)
    if left.grids is None or right.grids is None:
        return np.ones(len(pairs.left), np.float32)
    return mask_differences(left.grids.values[pairs.left], right.grids.values[pairs.right])


def _compare_outputs(sides: _Sides, case: Case, tolerances: Tolerances) -> CaseReport:
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


def allowed_outliers(detections: int, share: float) -> int:
    """Return how many detections may differ: a share of them, and one of a hundred or more whatever the share."""
    return max(int(share * detections), int(detections >= MANY))


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
