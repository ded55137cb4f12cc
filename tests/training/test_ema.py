import math

import pytest
import torch
from torch import nn

from automl_images.training.ema import WeightAverage, decay, ramp


def test_decay_ramp():
    assert decay(1) == pytest.approx(0.9999 * (1 - math.exp(-1 / 2000)))
    assert decay(500) == pytest.approx(0.2212, abs=1e-4)
    assert decay(100_000) == pytest.approx(0.9999)


@pytest.mark.parametrize("updates", [60, 400, 1500])
def test_in_short_trainings_the_average_reaches_over_the_last_tenth(updates):
    assert 1 / (1 - decay(updates, ramp(updates))) == pytest.approx(updates / 10, rel=0.02)


@pytest.mark.parametrize("updates", [20_000, math.inf])
def test_in_long_trainings_the_ramp_is_that_of_the_specification(updates):
    assert ramp(updates) == 2000


def test_updates_by_hand():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(model[0].weight, 2.0)
    average = WeightAverage(model)
    expected = 2.0
    for value in (4.0, 8.0):
        nn.init.constant_(model[0].weight, value)
        average.update(model)
        expected = decay(average.updates) * expected + (1 - decay(average.updates)) * value
        assert float(average.module[0].weight) == pytest.approx(expected, rel=1e-6)
    assert average.updates == 2
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())


def test_buffers_and_frozen_parameters_are_those_of_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].requires_grad_(False)
    average = WeightAverage(model)
    model(torch.randn(8, 2))
    average.update(model)
    for name, buffer in model.named_buffers():
        assert torch.equal(average.module.get_buffer(name), buffer)
    assert torch.equal(average.module[0].weight, model[0].weight)


def test_state_goes_round():
    model = nn.Linear(2, 2)
    average = WeightAverage(model)
    nn.init.zeros_(model.weight)
    average.update(model)
    other = WeightAverage(nn.Linear(2, 2))
    other.load_state_dict(average.state_dict())
    assert other.updates == 1
    assert torch.equal(other.module.weight, average.module.weight)
