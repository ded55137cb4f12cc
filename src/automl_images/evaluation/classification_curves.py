"""Curves and tables over the probabilities of a classifier (specification H.1).

Owns ROC, cumulative gains, lift, calibration and the accuracy table; they are plain lists and numbers, ready for JSON.
Precision over recall is `curves.py`'s, shared with detection.

A family of curves maps the name of a class, and `all classes` (`POOLED`: every class of every image is one decision),
to `x` and `y`. Classes whose curve is not defined are left out: those that no image has, for ROC also those that all
have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.evaluation.classification_scores import Judged, steps
from automl_images.evaluation.voc import DIGITS, Ranking, Values

POOLED = "all classes"
"""Name of the curve of all decisions; a class of that name takes its place."""

GRID = np.arange(101) / 100
"""0.00, 0.01, … 1.00."""

CALIBRATION_BINS = 10

Curve = dict[str, list[float]]


def roc_curves(rankings: Mapping[str, Ranking]) -> dict[str, Curve]:
    """Return true positive rate over false positive rate, at most 101 points each.

    Args:
        rankings: by name, see `classification_scores.rank`.
    """
    return _family(rankings, _roc)


def gain_curves(rankings: Mapping[str, Ranking]) -> dict[str, Curve]:
    """Return the share of a class's images found over the share of all images looked at, the most probable first.

    101 points each; images of equal probability are taken to be in random order. `rankings` as for `roc_curves`.
    """
    return _family(rankings, _gain)


def lift_curves(rankings: Mapping[str, Ranking]) -> dict[str, Curve]:
    """Return how many times more of a class's images are found than in random order, over the share looked at.

    100 points each, from 0.01 on. `rankings` as for `roc_curves`.
    """
    return _family(rankings, _lift)


def calibration_curve(judged: Judged, classes: Mapping[str, int]) -> dict[str, Curve]:
    """Return the share of images that have the class over the mean probability of it, in ten bins of probability.

    Bins without images are left out. Unlike the other families, it has every class.

    Args:
        judged: the images.
        classes: label by name.
    """
    curves = {POOLED: _calibration(judged.probabilities.ravel(), judged.truth.ravel())}
    columns = {name: (judged.probabilities[:, k], judged.truth[:, k]) for name, k in classes.items()}
    return curves | {name: _calibration(*column) for name, column in columns.items()}


def accuracy_table(rankings: Mapping[str, Ranking], classes: Mapping[str, int]) -> dict[str, Any]:
    """Return the counts of each class against the rest at probability thresholds 0.00, 0.01, … 1.00.

    Args:
        rankings: as for `roc_curves`.
        classes: label by name.

    Returns:
        `class_labels`, `probability_thresholds` (101) and `probability_tables`: a list for each class, in it for each
        threshold the numbers of true positives, false positives, true negatives and false negatives (the order of
        `accuracy_table` in the azureml SDK).
    """
    return {
        "class_labels": list(classes),
        "probability_thresholds": GRID.tolist(),
        "probability_tables": [_counts(rankings[name]) for name in classes],
    }


def _counts(ranking: Ranking) -> list[list[int]]:
    kept, hits = ranking.counts_at(GRID)
    missed = ranking.ground_truths - hits
    table: list[list[int]] = np.stack([hits, kept - hits, len(ranking.hits) - kept - missed, missed], axis=1).tolist()
    return table


def _family(
    rankings: Mapping[str, Ranking], curve: Callable[[Ranking], tuple[Values, Values] | None]
) -> dict[str, Curve]:
    found = {name: curve(ranking) for name, ranking in rankings.items()}
    return {name: _listed(*points) for name, points in found.items() if points is not None}


def _roc(ranking: Ranking) -> tuple[Values, Values] | None:
    positives, negatives = ranking.ground_truths, len(ranking.hits) - ranking.ground_truths
    if not positives or not negatives:
        return None
    kept, hits = steps(ranking)
    x, y = (kept - hits) / negatives, hits / positives
    along = x + y  # rises from 0 to 2; no point that is left out is more than 0.02 from a kept one
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], len(GRID))))
    return x[chosen], y[chosen]


def _gain(ranking: Ranking) -> tuple[Values, Values] | None:
    if not ranking.ground_truths:
        return None
    kept, hits = steps(ranking)
    return GRID, np.interp(GRID, kept / len(ranking.hits), hits / ranking.ground_truths)


def _lift(ranking: Ranking) -> tuple[Values, Values] | None:
    gain = _gain(ranking)
    return None if gain is None else (GRID[1:], gain[1][1:] / GRID[1:])


def _calibration(probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Curve:
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    images, right, total = (np.bincount(bins, w, CALIBRATION_BINS) for w in (None, truth, probabilities))
    filled = images > 0
    return _listed(total[filled] / images[filled], right[filled] / images[filled])


def _listed(x: Values, y: Values) -> Curve:
    return {"x": x.round(DIGITS).tolist(), "y": y.round(DIGITS).tolist()}
