"""Which of single trial, manual sweep and AutoMode a job's parameters ask for (specification D.1)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_images.core.errors import SettingsError
from automl_images.jobs.options import parse_job_options

TASK = "image_classification"
BASE = {"task": TASK, "source": {"path": "x"}}


@pytest.mark.parametrize("empty", [None, [], {}])
@pytest.mark.parametrize("sweep", [None, {}])
def test_more_than_one_trial_and_nothing_of_a_sweep_is_automode(empty, sweep):
    limits = {"max_trials": 3}
    options = parse_job_options(TASK, {**BASE, "search_space": empty, "sweep": sweep, "limits": limits})
    assert options.is_automode


@pytest.mark.parametrize(
    "given",
    [
        {"limits": {"max_trials": 1}},
        {"limits": {"max_trials": 3}, "search_space": [{"learning_rate": "uniform(0.001, 0.01)"}]},
    ],
)
def test_anything_else_is_not(given):
    options = parse_job_options(TASK, {**BASE, **given})
    assert not options.is_automode


def test_how_to_search_without_a_space_is_a_mistake():
    with pytest.raises(SettingsError, match="sampling_algorithm without search_space"):
        parse_job_options(TASK, {**BASE, "limits": {"max_trials": 3}, "sweep": {"sampling_algorithm": "random"}})


@pytest.mark.parametrize("space", [[3], [None], "abc", [{"learning_rate": 0.1}, "x"]])
def test_a_branch_of_a_search_space_that_is_no_dictionary_is_named(space):
    with pytest.raises(SettingsError, match=r"search_space: .*expected a list of dictionaries .* got .*") as caught:
        parse_job_options(TASK, {**BASE, "search_space": space, "limits": {"max_trials": 3}})
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("limits", [{"max_trials": True}, {"max_trials": 1.5}, {"disk_gigabytes": False}])
def test_truth_values_and_fractions_are_no_limits(limits):
    with pytest.raises(SettingsError, match=rf"limits\.{next(iter(limits))}"):
        parse_job_options(TASK, {**BASE, "limits": limits})


@given(name=st.sampled_from(["disk_gigabytes", "image_cache_gigabytes"]), size=st.floats() | st.just(10**400))
def test_gigabytes_are_a_number_of_bytes_or_refused(name, size):
    given = {**BASE, "limits": {name: size}}
    if 0 < size <= 1e9:
        assert 0 <= round(getattr(parse_job_options(TASK, given).limits, name) * 1e9) <= 1e18
    elif size != 0:
        with pytest.raises(SettingsError, match=rf"{TASK}\.limits\.{name}: "):
            parse_job_options(TASK, given)


@pytest.mark.parametrize("block", ["limits.disk_gigabytes", "limits.image_cache_gigabytes", "export.box_tolerance"])
@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_infinity_is_no_value_of_an_option(block, number):
    name, key = block.split(".")
    with pytest.raises(SettingsError, match=rf"{TASK}\.{block}: .*finite number, got {number}"):
        parse_job_options(TASK, {**BASE, name: {key: number}})


@pytest.mark.parametrize("task", ["object_detection", "instance_segmentation"])
def test_scores_that_are_not_kept_cannot_be_measured(task):
    given = {"task": task, "source": {"path": "x"}}
    with pytest.raises(SettingsError, match=r"score_threshold must be at least 0\.01 for .*, got 0\.001.*null for all"):
        parse_job_options(task, {**given, "evaluation": {"score_threshold": 0.001}})
    for kept in (None, 0.01, 0.3):
        assert parse_job_options(task, {**given, "evaluation": {"score_threshold": kept}})
    assert parse_job_options(TASK, {**BASE, "evaluation": {"score_threshold": 0.001}})
