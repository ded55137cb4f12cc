"""What the parity gate measured and its verdict: the content of parity.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from automl_images.core.errors import ParityError

METRICS = ("reference_metric", "candidate_metric")


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerances:
    """What may differ.

    Attributes:
        boxes: pixels, of images up to 1,000 px; larger images in proportion.
        scores: absolute.
        masks: 1 - intersection over union of the probabilities of a pair (`matching.mask_differences`).
        metric: absolute difference of the primary metric.
        outliers: share of detections that may differ by more or have no partner: where two proposals inside an R-CNN
            overlap by exactly the threshold of its suppression, rounding decides which one is refined.
    """

    boxes: float = 0.1
    scores: float = 1e-3
    metric: float = 1e-3
    outliers: float = 0.002
    masks: float = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class CaseReport:
    """One comparison.

    Attributes:
        name: what was compared; images: how many.
        detections: of the reference (before suppression where the graph leaves that to the caller); matched: pairs.
        largest_box_difference: pixels, None where there are no boxes; largest_score_difference: over all pairs.
        label_mismatches: pairs with unequal labels; unmatched: places of detections of either side without a partner.
        near_ties: detections without a partner that lie at a cut, where rounding decides; not counted as unmatched.
        outliers: pairs beyond tolerance or with unequal labels, and unmatched; passed: few enough of them.
        largest_mask_difference: 1 - intersection over union, None where there are no masks.
    """

    name: str
    images: int
    detections: int
    matched: int
    largest_box_difference: float | None
    largest_score_difference: float
    label_mismatches: int
    unmatched: int
    near_ties: int
    outliers: int
    passed: bool
    largest_mask_difference: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ParityReport:
    """All comparisons and the verdict.

    Attributes:
        passed: every case and the metric agree within the tolerances, and there was something to compare.
        reference_metric, candidate_metric: the primary metric of torch and of onnxruntime on the images compared.
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
    if not same_metric(metrics[0], metrics[1], report["tolerances"]["metric"]):
        failed.append(f"primary metric {metrics[0]:.5f} against {metrics[1]:.5f}")
    if not report["same_settings"]:
        failed.append("classes, preprocessing or thresholds of both sides differ")
    reasons = "; ".join(failed) or "neither found anything, so nothing was compared: train longer"
    raise ParityError(
        f"The ONNX model does not give the results of the trained network: {reasons}. It is not registered; "
        "parity.json has all numbers."
    )


def _describe(case: Mapping[str, Any]) -> str:
    boxes, masks = case["largest_box_difference"], case["largest_mask_difference"]
    differences = [] if boxes is None else [f"boxes up to {boxes:.3g} px"]
    differences += [] if masks is None else [f"masks up to {masks:.3g}"]
    differences += [f"scores up to {case['largest_score_difference']:.3g}", f"{case['label_mismatches']} labels"]
    differences += [] if boxes is None else [f"{case['unmatched']} without a partner"]
    kind = "results" if boxes is None else "detections"
    return f"{case['name']}: {case['outliers']} of {case['detections']} {kind} differ ({', '.join(differences)})"


def same_metric(reference: float, candidate: float, tolerance: float) -> bool:
    """Tell whether two values of a metric are equal within a tolerance; two undefined ones are."""
    return bool(np.isclose(reference, candidate, rtol=0, atol=tolerance, equal_nan=True))
