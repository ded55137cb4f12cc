"""The clock of a training with max_training_minutes; what follows from it is in tests/tasks/effects_on_training.py."""

import math

import pytest
from tiny_learner import settings

from automl_images.core.errors import Interrupted
from automl_images.core.failpoints import VARIABLE
from automl_images.training import run
from automl_images.training.time_limit import TimeLimit, seconds_of_runs


def test_without_a_limit_no_time_is_used():
    limit = TimeLimit(settings())
    assert limit.left(1e9) == math.inf
    assert limit.used(1e9, 10.0) == 0
    assert limit.allows_evaluation(1e9, 10.0)


def test_time_for_the_last_evaluation_is_set_aside():
    limit = TimeLimit(settings(max_training_minutes=2))
    assert limit.used(60, 0.0) == 0.5
    assert limit.used(60, 30.0) == pytest.approx(60 / 90)
    assert (limit.used(90, 30.0), limit.used(0, 500.0)) == (1, 1)
    assert limit.allows_evaluation(30, 30.0)  # 30 now, 30 of training, 30 at the end
    assert not limit.allows_evaluation(31, 30.0)


def test_so_is_time_for_the_models_of_a_soup():
    limit = TimeLimit(settings(max_training_minutes=2, soup=3))
    assert limit.used(30, 20.0) == 0.5


def test_what_earlier_runs_lost_counts():
    limit = TimeLimit(settings(max_training_minutes=2), lost=30)
    assert (limit.left(60), limit.used(60, 0.0)) == (30, 0.75)


def test_time_between_runs_does_not_count():
    told = [("started", 0), ("progress", 4), ("epoch", 10), ("died", 500), ("weights", 990), ("started", 1000)]
    told += [("interrupted", 1007), ("started", 2000), ("epoch", 1900)]
    assert seconds_of_runs({"event": event, "time": time} for event, time in told) == 17


def test_a_resumed_training_knows_how_long_evaluations_take_and_what_was_lost(tmp_path, train_here, monkeypatch):
    given = {"number_of_epochs": 3, "max_training_minutes": 60}
    monkeypatch.setenv(VARIABLE, "training:step:8:interrupt")
    with pytest.raises(Interrupted):
        train_here(tmp_path, **given)
    monkeypatch.delenv(VARIABLE)
    clocks = []
    monkeypatch.setattr(run, "seconds_of_runs", lambda events: 1000.0)
    ask = TimeLimit.used
    monkeypatch.setattr(TimeLimit, "used", lambda self, *given: clocks.append((self, *given)) or ask(self, *given))
    assert train_here(tmp_path, **given).status == "completed"
    limit, seconds, evaluation = clocks[0]
    assert evaluation > 0
    assert limit.left(seconds) == pytest.approx(3600 - 1000, abs=1)
