"""The gate between training and use for classifiers: torch and onnxruntime must give the same probabilities.

As in `parity.py`, both sides run through the same predictor on validation images, alone, in batches and in other
shapes; probabilities are compared number by number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from automl_images.core.types import FloatArray, ImageArray
from automl_images.export.parity_cases import Case, cases_of
from automl_images.export.parity_report import CaseReport, ParityReport, Tolerances, same_metric
from automl_images.inference.classification_predictor import ClassificationPredictor


def check_class_parity(
    reference: ClassificationPredictor,
    candidate: ClassificationPredictor,
    images: Sequence[ImageArray],
    metric: Callable[[FloatArray], float],
    *,
    tolerances: Tolerances,
    batch_size: int = 4,
) -> ParityReport:
    """Compare two predictors of one model.

    Args:
        reference: with a `TorchBackend`.
        candidate: the exported file.
        images: validation images, some dozens.
        metric: primary metric of the probabilities `(N, C)` of `images`.
        tolerances: `scores` holds for probabilities.
        batch_size: images in a pass where batches are tried.

    Returns:
        A report; nothing is raised for a difference, see `parity_report.require_parity`.

    Raises:
        ModelError: one side cannot run an input at all.
    """
    whole = Case(f"{len(images)} validation images in batches", images, 0.0, batch_size)
    first, second = (side.predict(images, batch_size=batch_size) for side in (reference, candidate))
    reports = [_report(whole, first, second, tolerances)]
    for case in cases_of(images, 0.0, batch_size):
        left, right = (side.predict(case.images, batch_size=case.batch_size) for side in (reference, candidate))
        reports.append(_report(case, left, right, tolerances))
    metrics = float(metric(first)), float(metric(second))
    same_settings = reference.metadata == candidate.metadata
    passed = same_settings and same_metric(*metrics, tolerances.metric) and all(report.passed for report in reports)
    return ParityReport(passed, *metrics, same_settings, 0.0, tuple(reports), tolerances)


def _report(case: Case, reference: FloatArray, candidate: FloatArray, tolerances: Tolerances) -> CaseReport:
    difference = np.abs(reference - candidate).max(axis=1, initial=0)
    wrong = int((difference > tolerances.scores).sum())
    return CaseReport(
        name=case.name,
        images=len(case.images),
        detections=len(reference),
        matched=len(reference),
        largest_box_difference=None,
        largest_score_difference=round(float(difference.max(initial=0)), 8),
        label_mismatches=int(
            (reference.argmax(axis=1) != candidate.argmax(axis=1))[difference > tolerances.scores].sum()
        ),
        unmatched=0,
        near_ties=0,
        outliers=wrong,
        passed=wrong == 0,
    )
