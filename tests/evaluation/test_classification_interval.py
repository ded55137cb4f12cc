import numpy as np
import pytest

from automl_images.evaluation.bootstrap import mean_interval


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [  # quantiles 0.025 and 0.975 of Beta(right + 1/2, wrong + 1/2)
        (5, 10, 0.22355, 0.77645),
        (9, 10, 0.61876, 0.98898),
        (90, 100, 0.82988, 0.94742),
    ],
)
def test_right_or_wrong_is_the_interval_of_jeffreys(right, images, low, high):
    interval = mean_interval([1.0] * right + [0.0] * (images - right), samples=200_000)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.003)


def test_always_right_on_few_images_is_not_certain():
    few, many = mean_interval([1.0] * 8), mean_interval([1.0] * 800)
    assert (few.high, many.high) == (1, 1)
    assert 0.6 < few.low < 0.85
    assert 0.99 < many.low < 1
    assert mean_interval([0.0] * 8).low == 0


def test_values_between_narrow_it():
    half, wide = mean_interval([0.5] * 40), mean_interval([0.0, 1.0] * 20)
    assert half.low < 0.5 < half.high
    assert half.high - half.low < (wide.high - wide.low) / 2


@pytest.mark.parametrize("chances", [(0.05, 0.1, 0.2, 0.15, 0.5), (0.02, 0.0, 0.08, 0.0, 0.9)])
def test_it_holds_the_true_value_about_as_often_as_said(chances):
    rng = np.random.default_rng(5)
    values = np.array([0, 1 / 3, 1 / 2, 2 / 3, 1])
    drawn = [mean_interval(rng.choice(values, 20, p=chances), seed=seed, samples=500) for seed in range(300)]
    assert np.mean([found.low <= values @ chances <= found.high for found in drawn]) == pytest.approx(0.95, abs=0.04)


def test_seed_and_form():
    values = np.random.default_rng(0).random(30)
    interval = mean_interval(values, seed=1)
    assert interval == mean_interval(values, seed=1)
    assert interval != mean_interval(values, seed=2)
    assert interval.as_dict() == {"low": interval.low, "high": interval.high, "confidence": 0.95, "samples": 2000}
    narrow = mean_interval(values, seed=1, confidence=0.5)
    assert interval.low < narrow.low < values.mean() < narrow.high < interval.high


def test_nothing_to_measure_and_wrong_values():
    assert (mean_interval([]).low, mean_interval([]).high) == (-1, -1)
    with pytest.raises(ValueError, match=r"Expected values from 0 to 1, got 0\.5 to 2"):
        mean_interval([0.5, 2.0])
    with pytest.raises(ValueError, match="Expected values from 0 to 1"):
        mean_interval([0.5, float("nan")])
