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


def test_the_schedule_follows_whichever_of_steps_and_time_is_ahead():
    given = settings(number_of_epochs=6, warmup_cosine_lr_warmup_epochs=2, max_training_minutes=1)
    assert learning_rate_factor(given, 30, 10, time_used=0.2) == learning_rate_factor(given, 30, 10)
    assert learning_rate_factor(given, 5, 10, time_used=0.75) == learning_rate_factor(given, 45, 10)
    steps = settings(number_of_epochs=6, learning_rate_scheduler="step", step_lr_gamma=0.1, step_lr_step_size=2)
    assert learning_rate_factor(steps, 5, 10, time_used=0.7) == pytest.approx(0.01)
