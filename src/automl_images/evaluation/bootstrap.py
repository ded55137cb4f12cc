"""How sure a metric, or the difference of two models, is, given how few images it was measured on.

Owns the percentile bootstrap over images (Efron and Tibshirani, 1993, section 13.3) of mean average precision. Images
are drawn, not detections, as those of one image depend on each other. In simulations with 25 to 400 images the 95 %
interval held the true value in 91 to 97 % of the cases; where scores say nothing about being right, average precision
itself is biased upwards on few images and the interval with it.

Means over images, such as accuracy, have the Bayesian bootstrap (Rubin, 1981), with half an image judged 0 and half an
image judged 1 as prior. Where images are right or wrong, this is the interval of Jeffreys (Brown, Cai and DasGupta,
2001, section 3.1). In simulations with 10 to 400 images it held the true value in 92 to 99 % of the cases; drawing
images with replacement did in 8 to 97 %, as it is certain of a model that was always right on few images.

Differences of two models are paired: both are judged on the same images of each draw, so that what makes an image easy
or hard for both cancels out. Those of means have the Bayesian bootstrap, with half an image won and half an image lost
entirely as prior; those of mean average precision the percentile bootstrap, expanded for few images (Hesterberg, 2015,
"What teachers should know about the bootstrap"). A challenger wins where the lower bound of the 90 % interval is above
zero. In simulations of two equally good models with 10 to 400 images it did so, by luck, for accuracy in 0 to 7 %, for
the Jaccard index in 1 to 5 %, and for mean average precision in 0 to 8 % of the cases. The best of several challengers
needs a wider interval (Bonferroni), as one of many is lucky: the best of 20 that are as good as the default, each with
luck of its own, passes 90 % bounds in 33 to 46 % of the cases (25 to 400 images); where all 20 are worse by 0.05, in
24 %, and those of `confidence_of_best` in 2 % (25 images).

The bounds for very many challengers lie beyond nearly all draws: the smallest of 2000 is a quantile of one in 2000,
where 999 challengers need one in 10 000. So many draws would take minutes (a draw of mean average precision takes 0.4
to 2.7 ms for 400 images with 10 to 50 detections each), so that a bound with fewer than `LEAST_BEYOND` draws beyond it
is widened to that of Student's interval with the bootstrap's standard error (Efron and Tibshirani, 1993, section 12.4;
Hesterberg, 2015, section 5), where this is wider. Simulated with 25 to 400 images, the best of equally good challengers
passed in 0 to 6 % of the cases where there were 100 to 999 of them (without the widening in up to 15 %), and in 0 to
11 % where there were 1 to 20.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from automl_images.core.types import IntArray
from automl_images.evaluation.matching import IGNORED, MATCHED, Matches
from automl_images.evaluation.voc import DIGITS, UNDEFINED, mean_of_defined

CONFIDENCE_OF_DIFFERENCE = 0.9
"""Two-sided: a challenger that is no better passes the lower bound with a probability of about 5 %."""

LUCK = 0.1
"""Probability that the best of several challengers, none of which is better, passes at most; nominal, see above."""

LEAST_BEYOND = 10
"""A bound with fewer draws than this beyond it is widened: its quantile is that of a handful of draws."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """By how much a challenger's metric is above the default's on the same images, and the bounds of that.

    Attributes:
        value: challenger minus default, in [-1, 1].
        low, high: bounds between which it lies with probability `confidence`.
        samples: of images that were drawn.
    """

    value: float
    low: float
    high: float
    confidence: float
    samples: int

    @property
    def is_better(self) -> bool:
        """Whether even the lower bound is above zero; equal models are not better than one another."""
        return self.low > 0


def confidence_of_best(challengers: int) -> float:
    """Return the confidence of the interval by which the best of so many challengers (1 or more) is to be judged."""
    return max(CONFIDENCE_OF_DIFFERENCE, 1 - 2 * LUCK / challengers)


def mean_average_precision_interval(
    matches: Matches,
    *,
    recall_points: int | None = None,
    samples: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of the mean average precision.

    Args:
        matches: within classes; images need not be matched again, as matching never looks across images.
        recall_points: precision is averaged over so many recalls from 0 to 1 (COCO); None: over all (VOC).
        samples: number of data sets drawn with replacement, each with as many images as the original.
        confidence: probability in (0, 1) that the interval covers.
        seed: of the draws.

    Returns:
        Rounded to 5 digits; both bounds UNDEFINED (-1) when no class has ground truth in any sample.
    """
    images = matches.images
    if not images:
        return Interval(UNDEFINED, UNDEFINED, confidence, samples)
    means = _mean_average_precisions(matches, _draws(images, samples, seed), recall_points)
    defined = means[means != UNDEFINED]
    if not len(defined):
        return Interval(UNDEFINED, UNDEFINED, confidence, samples)
    low, high = np.quantile(defined, _tails(confidence))
    return Interval(round(float(low), DIGITS), round(float(high), DIGITS), confidence, samples)


def mean_average_precision_difference(
    challenger: Matches,
    default: Matches,
    *,
    recall_points: int | None = None,
    samples: int = 2000,
    confidence: float = CONFIDENCE_OF_DIFFERENCE,
    seed: int = 0,
) -> Difference:
    """Return the paired bootstrap of the difference of two mean average precisions: both are of the same draws.

    Args:
        challenger, default: matches of two models with the same ground truth; arguments else as of
            `mean_average_precision_interval`.

    Returns:
        Rounded to 5 digits; draws without ground truth, in which nothing tells the models apart, count as equal.

    Raises:
        ValueError: the matches are not of the same ground truth.
    """
    if not np.array_equal(challenger.truth_image, default.truth_image) or challenger.images != default.images:
        raise ValueError("Expected the matches of two models on the same images, in the same order.")
    if not default.images:
        return Difference(0.0, 0.0, 0.0, confidence, samples)
    whole = np.ones((1, default.images), np.int64)
    draws = np.concatenate((whole, _draws(default.images, samples, seed)))
    found, known = (_mean_average_precisions(m, draws, recall_points) for m in (challenger, default))
    tails = _expanded(confidence, default.images)
    return _difference(found[0] - known[0], (found - known)[1:], confidence, tails, default.images)


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
    means = _weighted_means(array, (0.0, 1.0), samples, seed)
    low, high = np.quantile(means, _tails(confidence))
    mean = float(array.mean())
    return Interval(round(min(float(low), mean), DIGITS), round(max(float(high), mean), DIGITS), confidence, samples)


def mean_difference(
    challenger: Sequence[float],
    default: Sequence[float],
    *,
    samples: int = 4000,
    confidence: float = CONFIDENCE_OF_DIFFERENCE,
    seed: int = 0,
) -> Difference:
    """Return the paired bootstrap of the difference of two means over the same images.

    Args:
        challenger, default: what each image was judged by, in [0, 1], in the same order.
        samples: number of weightings of the images that are drawn.
        confidence: probability in (0, 1) that the bounds cover.
        seed: of the draws.

    Returns:
        Rounded to 5 digits.

    Raises:
        ValueError: the two are of different numbers of images.
    """
    found, known = np.asarray(challenger, dtype=np.float64), np.asarray(default, dtype=np.float64)
    if len(found) != len(known):
        raise ValueError(f"Expected values of the same images, got {len(found)} and {len(known)}.")
    differences = found - known
    value = float(differences.mean()) if len(differences) else 0.0
    drawn = _weighted_means(differences, (-1.0, 1.0), samples, seed)
    return _difference(value, drawn, confidence, _tails(confidence), len(differences))


def _difference(value: float, drawn: Values, confidence: float, tails: tuple[float, float], images: int) -> Difference:
    """Return the difference with its bounds; where there are too few draws for these, Student's are the least."""
    low, high = np.quantile(drawn, tails)
    if tails[0] * len(drawn) < LEAST_BEYOND and images > 1:
        error = drawn.std() * np.sqrt(images / (images - 1))
        reach = error * stdtrit(images - 1, _tails(confidence)[1])
        low, high = min(low, value - reach), max(high, value + reach)
    value, low, high = (round(float(number), DIGITS) for number in (value, low, high))
    return Difference(value, low, high, confidence, len(drawn))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _expanded(confidence: float, images: int) -> tuple[float, float]:
    """Return tails as much smaller as bounds from the few images must be wider: of the t distribution, for n - 1."""
    if images < 2:
        return 0.0, 1.0
    low = float(ndtr(stdtrit(images - 1, (1 - confidence) / 2) * np.sqrt(images / (images - 1))))
    return low, 1 - low


def _weighted_means(values: Values, ends: tuple[float, float], samples: int, seed: int) -> Values:
    """Return the means of values under random weights `(samples,)`, with half an image at each end beside them."""
    distinct, images = np.unique(np.concatenate((values, ends)), return_counts=True)
    shape = images - 0.5 * np.isin(distinct, ends)  # of the images added above half of each remains
    weights = np.random.default_rng(seed).standard_gamma(shape, (samples, len(shape)))
    means: Values = weights @ distinct / weights.sum(axis=1)
    return means


def _draws(images: int, samples: int, seed: int) -> IntArray:
    """Return how often each image was drawn `(samples, images)`."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=samples)


def _mean_average_precisions(matches: Matches, draws: IntArray, recall_points: int | None) -> Values:
    per_class = [_average_precisions(matches, label, draws, recall_points) for label in range(matches.num_classes)]
    return mean_of_defined(np.reshape(per_class, (matches.num_classes, len(draws))))


def _average_precisions(matches: Matches, label: int, draws: IntArray, recall_points: int | None = None) -> Values:
    """Return the average precision of a class in each sample `(S,)`; `draws` `(S, images)` counts each image's copies.

    An image drawn twice brings its detections twice. With the envelope, copies of a detection may be counted in one
    step: the point between them has the precision of the next one at most.
    """
    chosen = (matches.label == label) & (matches.outcome != IGNORED)
    images, hit = matches.image[chosen], matches.outcome[chosen] == MATCHED
    truths = matches.truth_image[(matches.truth_label == label) & ~matches.truth_crowd]
    ground_truths = draws @ np.bincount(truths, minlength=matches.images)
    block = max(1, _VALUES_AT_ONCE // max(1, len(images)))
    areas = [
        _areas(draws[k : k + block][:, images], hit, ground_truths[k : k + block], recall_points)
        for k in range(0, len(draws), block)
    ]
    return np.where(ground_truths > 0, np.concatenate(areas), UNDEFINED)


def _areas(copies: IntArray, hit: NDArray[np.bool_], ground_truths: IntArray, recall_points: int | None) -> Values:
    """Return envelope precision averaged over recall `(S,)`; a ranking's entries occur `copies` `(S, n)` times."""
    gained = copies * hit
    hits = np.cumsum(gained, axis=1)
    precision = hits / np.maximum(np.cumsum(copies, axis=1), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    if recall_points is None:
        areas: Values = (gained * envelope).sum(axis=1) / np.maximum(ground_truths, 1)
        return areas
    recall = hits / np.maximum(ground_truths, 1)[:, None]
    reached = np.searchsorted(np.linspace(0, 1, recall_points), recall, side="right") * (hits > 0)
    at_points: Values = (np.diff(reached, axis=1, prepend=0) * envelope).sum(axis=1) / recall_points
    return at_points
