"""The paired bootstrap: who wins, of what, and how often by luck alone."""

import numpy as np
import pytest

from automl_images.evaluation.bootstrap import (
    _draws,
    _expanded,
    confidence_of_best,
    mean_average_precision_difference,
    mean_average_precision_interval,
    mean_difference,
)
from automl_images.evaluation.coco import AVERAGE_PRECISION_50, RECALL_POINTS, coco_matches, coco_metrics
from automl_images.evaluation.detection import evaluate_detections
from automl_images.evaluation.matching import Matches, match, pool_objects
from automl_images.evaluation.voc import voc_metrics

CLASSES = ("ant", "bee", "cat", "dog")


def matches_of(predictions, truths):
    return match(pool_objects(predictions, truths, 4), 0.5)


def fewer(predictions, rng, share=0.5):
    return [found.take(rng.random(len(found)) < share) for found in predictions]


@pytest.mark.parametrize(
    ("won", "lost", "better"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (3, 0, True), (4, 1, False), (6, 1, True), (20, 20, False)],
)
def test_a_challenger_must_win_more_images_than_luck_explains(won, lost, better):
    """The tails of Jeffreys' posterior Beta(won + 1/2, lost + 1/2) at 1/2: 0.076 for 2:0, 0.033, 0.088, 0.025."""
    challenger = [1.0] * won + [0.0] * lost + [1.0] * 60
    default = [0.0] * won + [1.0] * lost + [1.0] * 60
    found = mean_difference(challenger, default)
    assert found.is_better is better
    assert found.value == pytest.approx((won - lost) / len(default), abs=1e-5)
    assert found.low < found.high
    assert found.low <= found.value <= found.high


def test_who_is_called_challenger_only_turns_the_sign():
    rng = np.random.default_rng(0)
    a, b = rng.random(80), rng.random(80)
    one, other = mean_difference(a, b, samples=20_000), mean_difference(b, a, samples=20_000)
    assert one.value == -other.value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.003)
    assert one == mean_difference(a, b, samples=20_000)


def test_equally_good_classifiers_seldom_beat_each_other():
    rng, wins = np.random.default_rng(3), {10: 0, 40: 0, 160: 0}
    for images in wins:
        for _ in range(300):
            chance = rng.random(images) / 2 + 0.5
            a, b = (rng.random(images) < chance for _ in range(2))
            wins[images] += mean_difference(a, b, samples=500).is_better
    assert max(wins.values()) <= 0.08 * 300


@pytest.mark.parametrize("challengers", [2, 5, 20])
def test_the_best_of_many_challengers_is_not_kept_for_its_luck(challengers):
    """All are as good as the default, each with luck of its own: of 20 the best passes 90 % bounds in a third."""
    rng, wins, wins_of_one, jobs = np.random.default_rng(4), 0, 0, 200
    for _ in range(jobs):
        chance = rng.random(50) / 2 + 0.5
        default, *others = (rng.random(50) < chance for _ in range(challengers + 1))
        best = max(others, key=np.mean)
        confidence = confidence_of_best(challengers)
        wins += mean_difference(best, default, samples=2000, confidence=confidence).is_better
        wins_of_one += mean_difference(best, default, samples=2000).is_better
    assert wins <= 0.12 * jobs
    assert challengers < 20 or wins_of_one > 0.2 * jobs


def test_the_best_of_a_thousand_is_not_kept_for_its_luck_either():
    """The bound is one in ten thousand; of the draws none need lie beyond it."""
    rng, wins, jobs, challengers = np.random.default_rng(6), 0, 300, 999
    for _ in range(jobs):
        chance = rng.random(25) / 2 + 0.5
        default, others = rng.random(25) < chance, rng.random((challengers, 25)) < chance
        best = others[others.mean(axis=1).argmax()]
        wins += mean_difference(best, default, confidence=confidence_of_best(challengers)).is_better
    assert wins <= 0.05 * jobs


def test_bounds_grow_with_the_challengers_beyond_what_draws_can_tell(make_scene):
    predictions, truths = make_scene(4, images=30)
    pair = matches_of(predictions, truths), matches_of(fewer(predictions, np.random.default_rng(0), 0.9), truths)
    middle = mean_average_precision_difference(*pair, confidence=0.68)
    error = (middle.high - middle.low) / 2
    widths = {}
    for challengers in (20, 100, 400, 999):
        found = mean_average_precision_difference(*pair, confidence=confidence_of_best(challengers))
        widths[challengers] = (found.value - found.low) / error
        assert found.low < found.value < found.high
    assert list(widths.values()) == sorted(widths.values())
    quantile_of_student = 4.23  # one in ten thousand, 29 degrees of freedom
    assert widths[999] >= 0.95 * quantile_of_student


def test_nothing_measured_is_no_victory():
    assert not mean_difference([], []).is_better
    with pytest.raises(ValueError, match="same images, got 2 and 1"):
        mean_difference([1, 1], [1])


def test_equal_detectors_do_not_beat_each_other(make_scene):
    matches = matches_of(*make_scene(1))
    found = mean_average_precision_difference(matches, matches, samples=50)
    assert (found.value, found.low, found.high, found.is_better) == (0, 0, 0, False)


def test_a_clearly_better_detector_wins_and_the_worse_one_does_not(make_scene):
    predictions, truths = make_scene(2, images=40)
    good, bad = matches_of(predictions, truths), matches_of(fewer(predictions, np.random.default_rng(0)), truths)
    found, turned = (mean_average_precision_difference(*pair, seed=1) for pair in ((good, bad), (bad, good)))
    assert found.is_better
    assert not turned.is_better
    assert found.value == -turned.value
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low), abs=1e-5)
    assert found.low < found.value < found.high


def test_both_detectors_are_measured_on_the_same_drawn_images(make_scene):
    predictions, truths = make_scene(4, images=15)
    worse = fewer(predictions, np.random.default_rng(0), 0.7)
    found = mean_average_precision_difference(
        matches_of(predictions, truths), matches_of(worse, truths), samples=60, confidence=0.5, seed=5
    )
    measured = []
    for copies in _draws(15, 60, 5):
        chosen = np.repeat(np.arange(15), copies)
        scores = [voc_metrics([p[k] for k in chosen], [truths[k] for k in chosen], 4) for p in (predictions, worse)]
        measured.append(scores[0].mean_average_precision - scores[1].mean_average_precision)
    expected = np.quantile(measured, _expanded(0.5, 15))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=3e-5)


@pytest.mark.parametrize("masks", [False, True])
def test_under_cocos_metric_the_difference_is_of_cocos_number(make_scene, masks):
    predictions, truths = make_scene(6, images=12, masks=masks)
    worse = fewer(predictions, np.random.default_rng(0), 0.7)
    good, bad = (evaluate_detections(p, truths, CLASSES, metric_type="coco") for p in (predictions, worse))
    found = mean_average_precision_difference(
        good.matches, bad.matches, recall_points=good.recall_points, samples=60, confidence=0.5, seed=2
    )
    number = "mean_average_precision"
    assert found.value == pytest.approx(good.metrics[number] - bad.metrics[number], abs=2e-5)
    measured = []
    for copies in _draws(12, 60, 2):
        chosen = np.repeat(np.arange(12), copies)
        of = [coco_metrics([p[k] for k in chosen], [truths[k] for k in chosen], 4) for p in (predictions, worse)]
        measured.append(of[0][AVERAGE_PRECISION_50] - of[1][AVERAGE_PRECISION_50])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(measured, _expanded(0.5, 12))), abs=3e-5)


def test_cocos_interval_holds_cocos_number_also_beyond_a_hundred_detections(make_scene):
    predictions, truths = make_scene(7, images=25)
    matches = coco_matches(predictions, truths, 4)
    interval = mean_average_precision_interval(matches, recall_points=RECALL_POINTS)
    assert interval.low < coco_metrics(predictions, truths, 4)[AVERAGE_PRECISION_50] < interval.high
    crowded = [found.take(np.tile(np.arange(len(found)), 40)) for found in predictions]
    kept = coco_matches(crowded, truths, 4)
    per_group = np.bincount(kept.image * 4 + kept.label)
    assert per_group.max() == 100 < max(np.bincount(found.labels).max() for found in crowded)


def test_matches_of_other_images_are_refused(make_scene):
    one, other = matches_of(*make_scene(1, images=5)), matches_of(*make_scene(2, images=5))
    with pytest.raises(ValueError, match="on the same images"):
        mean_average_precision_difference(one, other)


def test_without_ground_truth_nobody_wins(objects, detections):
    box = [0, 0, 10, 10]
    truths = [objects([])] * 3
    found, nothing = (matches_of([detections(rows)] * 3, truths) for rows in ([(box, 0, 0.9)], []))
    assert not mean_average_precision_difference(nothing, found).is_better
    assert not mean_average_precision_difference(matches_of([], []), matches_of([], [])).is_better


def test_few_images_give_wider_bounds():
    tails = [_expanded(0.9, images)[0] for images in (1, 5, 25, 1000)]
    assert tails == sorted(tails)
    assert tails[-1] == pytest.approx(0.05, abs=3e-4)


def _two_detectors(rng, images):
    """Two detectors of the same skill: an object is found by luck of its own; each has its own false detections."""
    per_image = rng.poisson(2.5, images)
    truth_image = np.repeat(np.arange(images), per_image)
    truth_label = rng.choice(4, len(truth_image), p=[0.4, 0.3, 0.2, 0.1])
    easy = rng.normal(1, 1, len(truth_image))
    for _ in range(2):
        luck = easy + rng.normal(0, 0.8, len(truth_image))
        hit = luck > 0
        wrong = np.repeat(np.arange(images), rng.poisson(1, images))
        scores = np.concatenate((luck[hit], rng.normal(0, 1, len(wrong))))
        order = np.argsort(-scores, kind="stable")
        outcome = np.concatenate((np.ones(hit.sum(), np.int8), np.zeros(len(wrong), np.int8)))
        image, label = np.append(truth_image[hit], wrong), np.append(truth_label[hit], rng.integers(0, 4, len(wrong)))
        crowd = np.zeros(len(truth_image), bool)
        truth = np.zeros(len(order), np.int64)
        yield Matches(
            image[order], label[order], scores[order], outcome[order], truth, truth_image, truth_label, crowd, images, 4
        )


@pytest.mark.parametrize("images", [10, 25, 100])
def test_equally_good_detectors_seldom_beat_each_other(images):
    rng = np.random.default_rng(images)
    pairs = [list(_two_detectors(rng, images)) for _ in range(200)]
    found = [mean_average_precision_difference(*pair, samples=300, seed=k) for k, pair in enumerate(pairs)]
    assert np.mean([difference.is_better for difference in found]) <= 0.11
    assert np.mean([difference.low <= 0 <= difference.high for difference in found]) >= 0.82
