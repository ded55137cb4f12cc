"""How sure a metric is, given how few images it was measured on.

Owns the percentile bootstrap over images (Efron and Tibshirani, 1993, section 13.3) of mean average precision. Images
are drawn, not detections, as those of one image depend on each other. In simulations with 25 to 400 images the 95 %
interval held the true value in 91 to 97 % of the cases; where scores say nothing about being right, average precision
itself is biased upwards on few images and the interval with it.

Means over images, such as accuracy, have the Bayesian bootstrap (Rubin, 1981), with half an image judged 0 and half an
image judged 1 as prior. Where images are right or wrong, this is the interval of Jeffreys (Brown, Cai and DasGupta,
2001, section 3.1). In simulations with 10 to 400 images it held the true value in 92 to 99 % of the cases; drawing
images with replacement did in 8 to 97 %, as it is certain of a model that was always right on few images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import IntArray
from automl_images.evaluation.matching import IGNORED, MATCHED, Matches
from automl_images.evaluation.voc import DIGITS, UNDEFINED, mean_of_defined

_VALUES_AT_ONCE = 1 << 21
Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """Bounds between which a metric lies with probability `confidence`, found with a number of samples of images."""

    low: float
    high: float
    confidence: float
    samples: int

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return dataclasses.asdict(self)


def mean_average_precision_interval(
    matches: Matches, *, samples: int = 200, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the bootstrap interval of the VOC mean average precision.

    Args:
        matches: within classes; images need not be matched again, as matching never looks across images.
        samples: number of data sets drawn with replacement, each with as many images as the original.
        confidence: probability in (0, 1) that the interval covers.
        seed: of the draws.

    Returns:
        Rounded to 5 digits; both bounds UNDEFINED (-1) when no class has ground truth in any sample.
    """
    images = matches.images
    if not images:
        return Interval(UNDEFINED, UNDEFINED, confidence, samples)
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=samples)
    per_class = [_average_precisions(matches, label, draws) for label in range(matches.num_classes)]
    means = mean_of_defined(np.reshape(per_class, (matches.num_classes, samples)))
    defined = means[means != UNDEFINED]
    if not len(defined):
        return Interval(UNDEFINED, UNDEFINED, confidence, samples)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(round(float(low), DIGITS), round(float(high), DIGITS), confidence, samples)


def mean_interval(values: Sequence[float], *, samples: int = 2000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the interval of the mean of what images were judged by, such as accuracy, or the mean Jaccard index.

    Args:
        values: one an image, in [0, 1].
        samples: number of weightings of the images that are drawn.
        confidence: probability in (0, 1) that the interval covers.
        seed: of the draws.

    Returns:
        Rounded to 5 digits, and always holds the mean of the values; both bounds UNDEFINED (-1) without images.

    Raises:
        ValueError: a value is not in [0, 1].
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return Interval(UNDEFINED, UNDEFINED, confidence, samples)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"Expected values from 0 to 1, got {array.min():g} to {array.max():g}.")
    distinct, images = np.unique(np.concatenate((array, [0.0, 1.0])), return_counts=True)
    shape = images - 0.5 * ((distinct == 0) | (distinct == 1))  # of the images added above half of each remains
    weights = np.random.default_rng(seed).standard_gamma(shape, (samples, len(shape)))
    means = weights @ distinct / weights.sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(array.mean())
    return Interval(round(min(float(low), mean), DIGITS), round(max(float(high), mean), DIGITS), confidence, samples)


def _average_precisions(matches: Matches, label: int, draws: IntArray) -> Values:
    """Return the average precision of a class in each sample `(S,)`; `draws` `(S, images)` counts each image's copies.

    An image drawn twice brings its detections twice. With the envelope, copies of a detection may be counted in one
    step: the point between them has the precision of the next one at most.
    """
    chosen = (matches.label == label) & (matches.outcome != IGNORED)
    images, hit = matches.image[chosen], matches.outcome[chosen] == MATCHED
    truths = matches.truth_image[(matches.truth_label == label) & ~matches.truth_crowd]
    ground_truths = draws @ np.bincount(truths, minlength=matches.images)
    block = max(1, _VALUES_AT_ONCE // max(1, len(images)))
    areas = [_areas(draws[k : k + block][:, images], hit) for k in range(0, len(draws), block)]
    return np.where(ground_truths > 0, np.concatenate(areas) / np.maximum(ground_truths, 1), UNDEFINED)


def _areas(copies: IntArray, hit: NDArray[np.bool_]) -> Values:
    """Return the sum of envelope precision over hits `(S,)` of rankings whose entries occur `copies` `(S, n)` times."""
    gained = copies * hit
    precision = np.cumsum(gained, axis=1) / np.maximum(np.cumsum(copies, axis=1), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas: Values = (gained * envelope).sum(axis=1)
    return areas
