"""Leaderboards become axes: which columns differ, on which scale, with a place for what is missing."""

import io
import math

import pandas as pd
import pytest
from sweeps import METRIC, MODELS, sweep

from automl_images.reporting.trial_axes import UNSET, axis_of, compare, judged, varying


def test_what_differs_inside_a_model_is_compared():
    trials, _ = sweep(20)
    assert varying(trials, METRIC) == [
        "learning_rate", "weight_decay", "optimizer", "image_size", "min_size", "ema", "advanced_settings", "milestones",
    ]  # fmt: skip
    alike = pd.DataFrame(
        {"trial": [0, 1], "status": "Completed", "model_name": ["a", "b"], METRIC: [0.1, 0.2], "learning_rate": [1, 2]}
    )
    assert varying(alike, METRIC) == []  # each model has its own default
    assert [axis.name for axis in compare(alike.assign(note="", epochs=1), METRIC).axes] == ["model_name"]


def test_failed_trials_and_those_without_a_metric_are_left_out():
    trials = pd.DataFrame(
        {
            "trial": [3, 1, 2, 0],
            "status": ["Completed", "Failed", "Canceled", "Canceled"],
            METRIC: [0.3, 0.9, 0.2, None],
        }
    )
    assert judged(trials, METRIC)["trial"].tolist() == [2, 3]


def test_numbers_far_apart_stand_on_a_logarithmic_scale():
    axis = axis_of("learning_rate", [1e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 1e-1])
    assert axis.positions == pytest.approx([-4, -3, math.log10(2e-3), math.log10(5e-3), -2, math.log10(2e-2), -1])
    assert [(round(place, 6), text) for place, text in axis.ticks] == [
        (-4, "0.0001"), (-3, "0.001"), (-2, "0.01"), (-1, "0.1"),
    ]  # fmt: skip
    assert axis.title == "learning rate (log)"


def test_few_numbers_are_the_ticks():
    axis = axis_of("image_size", [640, 320, 480, 320])
    assert axis.ticks == ((320, "320"), (480, "480"), (640, "640"))
    assert not axis.categories
    assert axis.positions == (640, 320, 480, 320)


def test_zero_forbids_a_logarithm():
    assert axis_of("weight_decay", [0.0, 1e-5, 0.1]).positions == (0.0, 1e-5, 0.1)


def test_names_truth_values_lists_and_dictionaries_are_categories():
    assert axis_of("optimizer", ["sgd", "adam", "sgd"]).positions == (1, 0, 1)
    assert axis_of("ema", [True, False]).ticks == ((0.0, "False"), (1.0, "True"))
    assert axis_of("milestones", [[3, 6], [2], [3, 6]]).positions == (1, 0, 1)
    assert axis_of("advanced_settings", [{"a": 1}, {"a": 2}]).categories
    assert [text for _, text in axis_of("mixed", ["auto", 10, 9, 100]).ticks] == ["9", "10", "100", "auto"]


def test_what_is_missing_has_no_place():
    axis = axis_of("min_size", [320.0, None, float("nan"), 640.0])
    assert [math.isnan(place) for place in axis.positions] == [False, True, True, False]
    assert not axis.complete
    assert axis.texts[1] == "–"
    assert axis_of("x", [None, None]).ticks == ()
    assert UNSET not in [text for _, text in axis.ticks]


def test_the_model_comes_first_then_what_mattered_most():
    comparison = compare(sweep(40)[0], METRIC)
    assert [axis.name for axis in comparison.axes][:2] == ["model_name", "learning_rate"]
    assert comparison.amounts_first[0].name == "learning_rate"
    assert set(comparison.importance) == {"model_name", "learning_rate", "weight_decay", "optimizer", "ema"}
    assert max(comparison.importance, key=comparison.importance.__getitem__) == "learning_rate"
    assert sum(comparison.importance.values()) == pytest.approx(1)


def test_shades_run_from_the_worst_tenth_to_the_best():
    trials = pd.DataFrame(
        {
            "trial": range(11),
            "status": "Completed",
            "model_name": "a",
            "note": "",
            METRIC: [0.0] + [0.5 + i / 20 for i in range(10)],
        }
    )
    assert compare(trials, METRIC).shades == pytest.approx([0, *(i / 9 for i in range(10))])
    assert compare(trials.assign(**{METRIC: 0.3}), METRIC).shades == [1.0] * 11


def test_a_leaderboard_read_back_from_a_file_gives_the_same_axes():
    trials, _ = sweep(20)
    again = pd.read_csv(io.StringIO(trials.to_csv(index=False)))
    first, second = compare(trials, METRIC), compare(again, METRIC)
    assert [(a.name, a.ticks, a.texts) for a in first.axes] == [(a.name, a.ticks, a.texts) for a in second.axes]
    assert first.stopped == second.stopped
    assert set(trials["model_name"]) == set(MODELS)
    assert first.hints[0].startswith("trial 0: mean average precision 0.")


@pytest.mark.parametrize("trials", [1, 4])
def test_nothing_to_compare(trials):
    table = sweep(trials)[0].assign(status="Failed")
    comparison = compare(table, METRIC)
    assert comparison.axes == ()
    assert comparison.hints == comparison.shades == comparison.numbers == []
