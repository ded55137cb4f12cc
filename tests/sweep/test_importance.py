"""Importance names the hyper-parameter that the metric was made from."""

import numpy as np
import pytest

from automl_images.sweep.importance import FEWEST_TRIALS, importances


def columns(trials, seed=0):
    generator = np.random.default_rng(seed)
    rate = generator.uniform(-4, -1, trials)
    model = [("a", "b", "c")[i % 3] for i in range(trials)]
    noise = generator.uniform(0, 1, trials)
    values = 0.7 - 0.15 * (rate + 2.3) ** 2 + np.array([{"a": 0.05, "b": 0.0, "c": -0.05}[m] for m in model])
    return {"rate": list(map(float, rate)), "model": model, "noise": list(map(float, noise))}, list(map(float, values))


def test_what_made_the_metric_comes_first():
    found = importances(*columns(40))
    assert list(found)[:2] == ["rate", "model"]
    assert found["noise"] < 0.1
    assert sum(found.values()) == pytest.approx(1)
    assert importances(*columns(40)) == found


def test_what_never_varies_is_left_out():
    table, values = columns(20)
    assert set(importances({**table, "fixed": ["x"] * 20}, values)) == {"rate", "model", "noise"}


def test_with_too_little_there_is_none():
    table, values = columns(FEWEST_TRIALS - 1)
    assert importances(table, values) == {}
    table, values = columns(20)
    assert importances(table, [0.5] * 20) == {}
    assert importances({"fixed": ["x"] * 20}, values) == {}
    assert importances({}, []) == {}
