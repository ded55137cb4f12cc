"""Leaderboards become axes: which columns differ, on which scale, with a place for what is missing."""

import io
import itertools
import math

import pandas as pd
import pytest
from sweeps import METRIC, MODELS, sweep

from automl_images.reporting.trial_axes import UNSET, axis_of, compare, judged, shortened, varying


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


def test_the_name_of_a_recipe_is_no_hyper_parameter():
    trials, _ = sweep(12)
    names = ["default", "lite", *["search"] * 10]
    assert varying(trials.assign(recipe=names), METRIC) == varying(trials, METRIC)


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


def test_of_values_too_near_to_each_other_one_is_a_tick():
    axis = axis_of("training_batch_size", [1, 2, 4, 8, 16, 32])
    assert [text for _, text in axis.ticks] == ["1", "4", "8", "16", "32"]
    assert [text for _, text in axis_of("learning_rate", [0.009756, 0.009971]).ticks] == ["0.009756", "0.009971"]


def test_values_too_near_to_each_other_on_a_logarithmic_scale_give_way_to_round_ones():
    axis = axis_of("learning_rate", [0.0007979, 0.0442, 0.0011, 0.04664, 0.009971, 0.009756])
    assert [text for _, text in axis.ticks] == ["0.001", "0.002", "0.005", "0.01", "0.02"]
    assert [text for _, text in axis_of("learning_rate", [0.001, 0.1, 0.01]).ticks] == ["0.001", "0.01", "0.1"]


def test_ticks_have_the_digits_that_tell_them_apart():
    assert [text for _, text in axis_of(METRIC, [0.98761, 0.98764], log=False).ticks] == ["0.98761", "0.98764"]
    many = axis_of(METRIC, [0.98761 + n * 1e-5 for n in range(9)], log=False)
    assert [text for _, text in many.ticks] == ["0.98762", "0.98764", "0.98766", "0.98768"]


@pytest.mark.parametrize("decades", [1.7, 2, 2.5, 2.99, 3, 5, 9, 14, 30])
@pytest.mark.parametrize("low", [-9, -4.3, -0.1])
def test_logarithmic_scales_of_any_length_have_ticks_that_stand_apart(low, decades):
    axis = axis_of("x", [10 ** (low + share * decades) for share in (0, 0.2, 0.21, 0.22, 0.5, 0.51, 1)])
    places = [place for place, _ in axis.ticks]
    assert 3 <= len(places) <= 13
    assert min(b - a for a, b in itertools.pairwise(places)) >= 0.08 * decades * 0.999


def test_long_names_lose_their_middle():
    assert shortened("adamw", 5) == "adamw"
    assert shortened("{'mosaic': True}", 11) == "{'mos…True}"
    assert [len(shortened("fasterrcnn_efficientnet", length)) for length in (4, 5, 22, 23)] == [4, 5, 22, 23]


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
