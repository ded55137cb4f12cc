"""Distributions against their definitions: bounds, quantisation, moments, and what Optuna makes of them."""

import math

import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.trial import FixedTrial
from scipy import stats

from automl_images.core.errors import SettingsError
from automl_images.sweep.building import Range, build
from automl_images.sweep.distributions import FIELDS, Choice

SHARE = st.floats(0, 1, exclude_max=True)
BOUND = st.floats(-20, 20)
STEP = st.floats(0.01, 5)
ANYTHING = Range()
EVEN = (np.arange(20_000) + 0.5) / 20_000


def draws(kind, arguments, legal=ANYTHING, log_base=math.e):
    return np.array([build(kind, arguments, legal, log_base).draw(u) for u in EVEN])


@pytest.mark.parametrize("log_base", [math.e, 10.0, 0.5])
@pytest.mark.parametrize("kind", ["uniform", "loguniform", "normal", "lognormal"])
def test_numbers_have_the_distribution_that_their_name_says(kind, log_base):
    first, second = (-2.0, 1.5) if "uniform" in kind else (-1.0, 0.7)
    values = draws(kind, dict(zip(FIELDS[kind], (first, second), strict=True)), log_base=log_base)
    latent = np.log(values) / math.log(log_base) if "log" in kind else values
    expected = stats.uniform(first, second - first) if "uniform" in kind else stats.norm(first, second)
    assert stats.kstest(latent, expected.cdf).statistic < 1e-3


@pytest.mark.parametrize("kind", ["quniform", "qloguniform", "qnormal", "qlognormal"])
def test_quantised_numbers_are_the_rounded_ones_of_the_plain_distribution(kind):
    arguments = dict(zip(FIELDS[kind], (1.0, 2.5, 0.3), strict=True))
    plain = {name: value for name, value in arguments.items() if name != "q"}
    expected = np.round(draws(kind[1:], plain) / 0.3) * 0.3
    np.testing.assert_allclose(draws(kind, arguments), expected, atol=1e-9)


def test_randint_gives_each_number_below_upper_equally_often():
    values = [build("randint", {"upper": 4}, Range()).draw(u) for u in EVEN]
    assert [values.count(n) for n in range(5)] == [5000, 5000, 5000, 5000, 0]
    assert {type(v) for v in values} == {int}


@given(low=BOUND, high=BOUND, u=SHARE, log=st.booleans())
def test_uniform_numbers_lie_between_their_bounds(low, high, u, log):
    low, high = sorted((low, high))
    value = build("loguniform" if log else "uniform", {"min_value": low, "max_value": high}, Range()).draw(u)
    ends = (math.exp(low), math.exp(high)) if log else (low, high)
    assert ends[0] <= value <= ends[1] or value == pytest.approx(ends[0]) or value == pytest.approx(ends[1])


@given(low=BOUND, high=BOUND, q=STEP, u=SHARE, log=st.booleans())
def test_quantised_numbers_are_multiples_within_half_a_step_of_the_bounds(low, high, q, u, log):
    low, high = sorted((low / 2, high / 2))
    kind = "qloguniform" if log else "quniform"
    distribution = build(kind, {"min_value": low, "max_value": high, "q": q}, Range())
    value = distribution.draw(u)
    assert value / q == pytest.approx(round(value / q), abs=1e-6)
    ends = (math.exp(low), math.exp(high)) if log else (low, high)
    assert ends[0] - q * 0.501 <= value <= ends[1] + q * 0.501
    assert distribution.ends()[0] <= value <= distribution.ends()[1]


@given(low=st.integers(1, 500), width=st.integers(0, 500), q=st.integers(1, 64), u=SHARE)
def test_an_int_hyperparameter_gets_ints(low, width, q, u):
    value = build("quniform", {"min_value": low, "max_value": low + width, "q": q}, Range(whole=True)).draw(u)
    assert type(value) is int
    assert value % q == 0


@given(mu=st.floats(-3, 3), sigma=st.floats(0.05, 5), u=SHARE, q=st.none() | st.floats(0.01, 0.4), log=st.booleans())
def test_a_normal_is_conditioned_on_the_legal_range(mu, sigma, u, q, log):
    kind = ("q" if q else "") + ("lognormal" if log else "normal")
    arguments = {"mu": mu, "sigma": sigma} | ({"q": q} if q else {})
    legal = Range(0.1, 0.9)
    plain = build(kind, arguments, ANYTHING)
    assume(any(0.1 <= plain.draw(share) <= 0.9 for share in EVEN[::200]))
    value = build(kind, arguments, legal).draw(u)
    assert 0.1 <= value <= 0.9
    if q:
        assert value / q == pytest.approx(round(value / q), abs=1e-6)


def test_a_rounded_normal_is_conditioned_on_its_rounded_value():
    values = draws("qnormal", {"mu": 0.1, "sigma": 0.2, "q": 0.25}, Range(0.2, 1))
    plain = draws("qnormal", {"mu": 0.1, "sigma": 0.2, "q": 0.25})
    shares = [np.mean(values == v) for v in (0.25, 0.5, 0.75)]
    expected = [np.sum(plain == v) / np.sum(plain >= 0.2) for v in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(shares, expected, atol=1e-3)


def test_conditioning_keeps_the_shape_and_piles_nothing_up_at_the_ends():
    values = draws("normal", {"mu": 0.1, "sigma": 0.2}, Range(0, 1))
    assert stats.kstest(values, stats.truncnorm(-0.5, 4.5, 0.1, 0.2).cdf).statistic < 1e-3
    assert np.sum(values == 0) == 0


@given(
    kind=st.sampled_from([k for k in FIELDS if k not in ("choice", "randint")]),
    first=st.floats(-3, 3),
    second=st.floats(0.1, 3),
    q=st.sampled_from([0.1, 0.3, 1, 2.5]),
    whole=st.booleans(),
    u=SHARE,
)
def test_every_point_is_one_that_optuna_may_suggest(kind, first, second, q, whole, u):
    whole = whole and kind.startswith("q")
    arguments = dict(zip(FIELDS[kind], (first, first + second if "uniform" in kind else second, q), strict=False))
    if whole:
        arguments["q"] = math.ceil(q)
    distribution = build(kind, arguments, Range(whole=whole))
    trial = FixedTrial({"x": distribution.at(u)})
    assert distribution.suggest(trial, "x") == distribution.draw(u)
    assert trial.distributions["x"]._contains(trial.distributions["x"].to_internal_repr(distribution.at(u)))


@pytest.mark.parametrize(
    "values", [(None, 2, 5), ({"a": [1]}, {"a": [2]}), ((3, 2), (4, 2)), (True, False), ("a", "b")]
)
def test_any_value_can_be_chosen_and_survives_the_study(values, tmp_path):
    distribution = Choice(values)
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db", sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = [distribution.suggest(study.ask(), "x") for _ in range(12)]
    assert all(value in chosen for value in values)
    assert [distribution.value(t.params["x"]) for t in study.trials] == chosen
    assert [distribution.draw(u) for u in np.arange(len(values)) / len(values)] == list(values)


@pytest.mark.parametrize(
    ("kind", "arguments", "legal", "message"),
    [
        ("uniform", {"min_value": 1, "max_value": 0}, Range(), "above max_value"),
        ("uniform", {"min_value": "a", "max_value": 1}, Range(), "min_value must be a number"),
        ("uniform", {"min_value": 0, "max_value": math.inf}, Range(), "max_value must be a number"),
        ("quniform", {"min_value": 0, "max_value": 1, "q": 0}, Range(), "q must be above zero"),
        ("quniform", {"min_value": 0, "max_value": 9, "q": 0.5}, Range(whole=True), "q must be a whole number"),
        ("normal", {"mu": 0, "sigma": 0}, Range(), "sigma must be above zero"),
        ("normal", {"mu": 9, "sigma": 1}, Range(0, 1), "hardly ever"),
        ("lognormal", {"mu": 9, "sigma": 1}, Range(0, 1), "hardly ever"),
        ("qnormal", {"mu": 0.5, "sigma": 1, "q": 3}, Range(0.2, 1), "no multiple of q"),
        ("loguniform", {"min_value": 0, "max_value": 1000}, Range(), "exponential"),
        ("randint", {"upper": 0}, Range(), "upper"),
        ("randint", {"upper": 2.5}, Range(), "upper"),
    ],
)
def test_contradicting_arguments_are_refused(kind, arguments, legal, message):
    with pytest.raises(SettingsError, match=message):
        build(kind, arguments, legal)


def test_a_value_twice_is_refused():
    with pytest.raises(SettingsError, match="1 twice"):
        Choice((0, 1, 1))


@pytest.mark.parametrize(
    ("kind", "arguments", "inside", "outside"),
    [
        ("uniform", (0.1, 0.5), [0.1, 0.3, 0.5], [0.09, 0.51, None, "0.3", True, [0.3]]),
        ("loguniform", (-7, -3), [0.001, 0.01], [0.0009, 0.05]),
        ("quniform", (4, 16, 4), [4, 8, 16], [6, 17, 0]),
        ("qloguniform", (0.7, 1.975, 2), [4, 6], [8, 5]),  # 8 is drawn, as 7.2 is rounded, but 8 is no point
        ("randint", (3,), [0, 2], [3, -1, 1.0, True, None]),
        ("choice", ([1, "a", None],), [1, "a", None], [2, "b"]),
    ],
)
def test_what_a_distribution_holds_can_be_told_to_the_study(kind, arguments, inside, outside):
    given = dict(zip(FIELDS[kind], arguments, strict=True))
    distribution = Choice(tuple(given["values"])) if kind == "choice" else build(kind, given, ANYTHING)
    middle = FixedTrial({"x": distribution.at(0.5)})
    distribution.ask(middle, "x")
    assert [distribution.holds(value) for value in inside] == [True] * len(inside)
    assert [distribution.holds(value) for value in outside] == [False] * len(outside)
    for value in inside:
        point = distribution.point(value)
        optuna.trial.create_trial(value=0.0, params={"x": point}, distributions=middle.distributions)
        assert distribution.value(point) == value
