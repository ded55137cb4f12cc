"""Learning curves show every trial, the best one strongest, and where one was stopped."""

import json

import pytest
from sweeps import METRIC, MODELS, sweep

from automl_images.reporting.charts import PALETTE
from automl_images.reporting.learning import STOP_COLOUR, STOPPED, learning_curves, learning_panels, stop_notes


def test_learning_curves_hold_metric_and_losses_of_every_trial(two_trials, leaderboard_table):
    figure = learning_curves(two_trials, METRIC, leaderboard_table)
    lines = [(t.name, list(t.x), list(t.y), t.line.dash) for t in figure.data]
    assert lines == [
        ("trial 0", [1, 2], [0.2, 0.4], "solid"),
        ("trial 1", [1, 2], [0.3, 0.7], "solid"),
        ("trial 0", [1, 2], [2.0, 1.0], "solid"),
        ("trial 1", [1, 2], [3.0, 2.0], "solid"),
        ("", [2], [1.5], "dash"),
    ]
    assert [a.text for a in figure.layout.annotations] == ["mean average precision", "loss (dashed: validation)"]
    json.loads(figure.to_json())


def test_the_trial_that_reached_most_is_strong(two_trials):
    metric, loss = learning_panels(two_trials, METRIC)
    assert [line.strong for line in metric.series] == [False, True]
    assert metric.series[1].hints == ("trial 1, epoch 1: 0.3", "trial 1, epoch 2: 0.7")
    assert [line.name for line in loss.series] == ["trial 0", "trial 1", ""]
    assert loss.series[2].colour == metric.series[1].colour  # only trial 1 has a validation loss


def test_a_single_trial_needs_no_name(two_trials):
    metric, loss = learning_panels(two_trials[two_trials["trial"] == 1], METRIC)
    assert [line.name for line in metric.series] == [""]
    assert [line.name for line in loss.series] == ["training", "validation"]


def test_no_curves_give_an_empty_figure(two_trials, leaderboard_table):
    assert len(learning_curves(two_trials[:0], METRIC, leaderboard_table[:0]).data) == 0


def test_a_stopped_trial_ends_in_a_mark_that_says_why(two_trials):
    metric, loss = learning_panels(two_trials, METRIC, {0: "stopped by bandit at epoch 2: 0.4 < 0.6"})
    mark = metric.series[-1]
    assert (mark.name, mark.x, mark.y, mark.colour) == (STOPPED, (2.0,), (0.4,), STOP_COLOUR)
    assert mark.hints == ("trial 0: stopped by bandit at epoch 2: 0.4 < 0.6",)
    assert STOPPED not in [line.name for line in loss.series]


def test_only_what_a_policy_stopped_is_marked():
    trials, curves = sweep(20)
    notes = stop_notes(trials)
    assert set(notes) == set(trials.loc[trials["status"] == "Canceled", "trial"])
    assert all(note.startswith("stopped by median_stopping at epoch 4") for note in notes.values())
    metric = learning_panels(curves, METRIC, notes)[0]
    marks = [line for line in metric.series if line.colour == STOP_COLOUR]
    assert len(marks) == len(notes)
    assert [line.name for line in marks] == [STOPPED] + [""] * (len(notes) - 1)
    assert {line.x for line in marks} == {(4.0,)}


def test_of_many_trials_each_model_has_a_colour_and_an_entry():
    trials, curves = sweep(20)
    best = trials.loc[trials[METRIC].idxmax()]
    metric, loss = learning_panels(curves, METRIC)
    assert {line.name for line in metric.series if line.name} == {*MODELS, f"trial {best['trial']}, the best"}
    colours = dict(zip(sorted(MODELS), PALETTE, strict=False))
    [strong] = [line for line in metric.series if line.strong]
    assert strong.colour == colours[best["model_name"]]
    assert len({line.colour for line in metric.series}) == 3
    assert sum(bool(line.hints) for line in metric.series) == 4
    assert {line.name for line in loss.series if line.name} == {line.name for line in metric.series if line.name}


@pytest.mark.parametrize("trials", [1, 2, 9, 60])
def test_any_number_of_trials_of_one_model(trials):
    table, curves = sweep(trials, models=1)
    figure = learning_curves(curves, METRIC, table)
    lines = [line for line in figure.data if len(line.x) > 1]
    assert len(lines) == 2 * curves["trial"].nunique()
    json.loads(figure.to_json())
