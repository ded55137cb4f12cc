import math

import pytest
from tiny_learner import settings

from automl_images.training.schedules import learning_rate_factor, warmup_cosine


def test_warmup_cosine_by_hand():
    """10 steps an epoch, 2 epochs of warm-up, 6 epochs: W = 20, T = 60."""
    given = settings(number_of_epochs=6, warmup_cosine_lr_warmup_epochs=2, warmup_cosine_lr_cycles=0.45)
    assert learning_rate_factor(given, 0, 10) == 0.0
    assert learning_rate_factor(given, 5, 10) == 0.25
    assert learning_rate_factor(given, 19, 10) == 0.95
    assert learning_rate_factor(given, 20, 10) == 1.0
    # Half of the cosine part: 0.5 * (1 + cos(2 pi 0.45 * 0.5)) = 0.5 * (1 + cos(81 degrees)) = 0.578217
    assert learning_rate_factor(given, 40, 10) == pytest.approx(0.578217, abs=1e-6)
    # The end: 0.5 * (1 + cos(162 degrees)) = 0.024472
    assert learning_rate_factor(given, 60, 10) == pytest.approx(0.024472, abs=1e-6)


@pytest.mark.parametrize(("cycles", "at_end"), [(0.5, 0.0), (1.0, 1.0), (0.25, 0.5), (0.0, 1.0)])
def test_cycles(cycles, at_end):
    assert warmup_cosine(100, 20, 100, cycles) == pytest.approx(at_end, abs=1e-12)


def test_warmup_longer_than_training_and_no_warmup():
    assert warmup_cosine(3, 8, 4, 0.45) == 3 / 8
    assert warmup_cosine(0, 0, 10, 0.5) == 1.0
    assert warmup_cosine(5, 0, 10, 0.5) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))


def test_step_counts_epochs():
    given = settings(learning_rate_scheduler="step", step_lr_gamma=0.1, step_lr_step_size=2)
    factors = [learning_rate_factor(given, epoch * 7 + 6, 7) for epoch in range(6)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("scheduler", ["warmup_cosine", "step"])
def test_in_the_last_quarter_of_a_limited_time_the_rate_falls_to_zero(scheduler):
    given = settings(number_of_epochs=6, learning_rate_scheduler=scheduler, step_lr_step_size=1, max_training_minutes=1)
    usual = learning_rate_factor(given, 30, 10)
    found = [learning_rate_factor(given, 30, 10, time_used) for time_used in (0, 0.5, 0.75, 0.875, 1)]
    assert found == pytest.approx([usual, usual, usual, usual / 2, 0])


def test_a_rate_that_stays_does_so_in_a_limited_time_too():
    assert learning_rate_factor(settings(learning_rate_scheduler="none"), 30, 10, time_used=1) == 1
