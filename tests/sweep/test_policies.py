"""Early termination: each rule against tables worked out by hand, and what every policy has in common.

A table has a line a trial: its number, the metric at epochs 1, 2, …, and the epochs at which it is stopped when all
trials run side by side, and when they run in turn (`-`: never). `.` is an epoch without report.
"""

import math

import numpy as np
import optuna
import pytest
from pydantic import TypeAdapter, ValidationError

from automl_images.sweep.policies import POLICIES, EarlyTerminationOptions, build_pruner

PARSER = TypeAdapter(EarlyTerminationOptions)


class Simulation:
    """Trials with known curves, run by a study that asks the policy as the controller does."""

    def __init__(self, options, maximise=True):
        self.pruner = build_pruner(PARSER.validate_python(options))
        direction = "maximize" if maximise else "minimize"
        self.study = optuna.create_study(direction=direction, pruner=self.pruner)
        self.sign = 1.0 if maximise else -1.0
        self.stopped, self.reasons = {}, {}

    def report(self, trial, epoch, value):
        if value is not None:
            trial.report(self.sign * value, epoch)

    def judge(self, trial, epoch):
        reason = self.pruner.reason(self.study, self.study.get_trials()[trial.number])
        assert trial.should_prune() == bool(reason)
        if reason:
            self.stopped[trial.number] = epoch
            self.reasons[trial.number] = reason
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return bool(reason)

    def finish(self, trial, curve):
        self.study.tell(trial, self.sign * max(v for v in curve if v is not None and math.isfinite(v)))

    def in_turn(self, curves):
        for curve in curves:
            trial = self.study.ask()
            for epoch, value in enumerate(curve, 1):
                self.report(trial, epoch, value)
                if self.judge(trial, epoch):
                    break
            else:
                self.finish(trial, curve)
        return self.stopped

    def side_by_side(self, curves):
        running = {self.study.ask(): curve for curve in curves}
        for epoch in range(1, max(map(len, curves)) + 1):
            now = {trial: curve for trial, curve in running.items() if len(curve) >= epoch}
            for trial, curve in now.items():
                self.report(trial, epoch, curve[epoch - 1])
            for trial, curve in now.items():
                if self.judge(trial, epoch):
                    del running[trial]
                elif epoch == len(curve):
                    self.finish(trial, curve)
        return self.stopped


def read(table):
    curves, together, in_turn = [], {}, {}
    for number, line in enumerate(table.strip().splitlines()):
        values, first, second = line.split("|")
        name, *values = values.split()
        assert name == f"{number}:"
        curves.append([None if v == "." else float(v) for v in values])
        together |= {} if first.strip() == "-" else {number: int(first)}
        in_turn |= {} if second.strip() == "-" else {number: int(second)}
    return curves, together, in_turn


BANDIT = {"type": "bandit", "slack_factor": 0.2, "delay_evaluation": 2}
# epoch 2: best 0.5, limit 0.5 / 1.2 = 0.4167; epoch 3: 0.6 / 1.2 = 0.5, which trial 1 has; epoch 4: 0.8 / 1.2 = 0.667
BANDIT_TABLE = """
0: 0.20 0.42 0.60 0.80 | - | -
1: 0.10 0.50 0.50 0.50 | 4 | 4
2: 0.30 0.30 0.55 0.70 | 2 | 2
"""
AMOUNT = {"type": "bandit", "slack_amount": 0.25, "slack_factor": 0.0, "evaluation_interval": 2}
# evaluated at 2 and 4. Epoch 2: best 0.75, limit 0.5: trial 1 has it, best so far of trial 2 is its first value.
# Epoch 4: best 1.0 of trial 3, limit 0.75; in turn trials 0 to 2 do not know of trial 3: best 0.75, limit 0.5.
AMOUNT_TABLE = """
0: 0.25 0.75 0.10 0.10 | - | -
1: 0.25 0.50 0.00 0.00 | 4 | -
2: 0.70 0.20 0.00 0.00 | 4 | -
3: 0.10 0.50 0.20 1.00 | - | -
4: 0.60 0.375 0.9 0.70 | - | -
5: 0.10 0.375 0.9 0.90 | 2 | 2
"""
DECIMAL = {"type": "bandit", "slack_amount": 0.2}
# The limit is 0.6, in floating point a little more.
DECIMAL_TABLE = """
0: 0.80 0.80 | - | -
1: 0.60 0.60 | - | -
2: 0.59 0.80 | 1 | 1
"""
MEDIAN = {"type": "median_stopping", "evaluation_interval": 1, "delay_evaluation": 2}
# averages at 2: 0.625 0.5 0.125 0.375, median 0.4375 (without trial 3: 0.5): trial 2 has 0.1875, trial 3 had 0.625.
# At 3: 0.6667 0.5833 0.3333, median 0.5833: trial 3 has 0.625. At 4: 0.6875 0.625 0.3125: median 0.625, trial 3 equals.
# In turn, trial 1 at 2 against trial 0 alone: median 0.5625 of 0.625 and 0.5; it has 0.5625, which is enough.
MEDIAN_TABLE = """
0: 0.500 0.7500 0.75 0.75 | - | -
1: 0.4375 0.5625 0.75 0.75 | - | -
2: 0.0625 0.1875 0.99 0.99 | 2 | 2
3: 0.625 0.1250 0.25 0.25 | - | -
"""
# at 5 with delay 5: averages 0.5 0.75 0.25, median 0.5: best of trial 0 is 0.5, of trial 2 is 0.375. At 6 trial 2, which
# was stopped, still counts, with 0.229 as if it stayed at 0.125: the median is 0.5, which trial 0 has.
# five constant curves: the median is 0.25 at every interval, whoever was stopped before
MEDIAN_ALL = {"type": "median_stopping"}
MEDIAN_ALL_TABLE = """
0: 0.50 0.50 0.50 0.50 | - | -
1: 0.75 0.75 0.75 0.75 | - | -
2: 0.25 0.25 0.25 0.25 | - | 1
3: 0.20 0.20 0.20 0.20 | 1 | 1
4: 0.10 0.10 0.10 0.10 | 1 | 1
"""
MEDIAN_LATE = {"type": "median_stopping", "delay_evaluation": 5}
MEDIAN_LATE_TABLE = """
0: 0.50 0.50 0.500 0.50 0.50 0.50 | - | -
1: 0.75 0.75 0.750 0.75 0.75 0.75 | - | -
2: 0.25 0.25 0.375 0.25 0.125 0.9 | 5 | 5
"""
TRUNCATION = {"type": "truncation_selection", "truncation_percentage": 50, "evaluation_interval": 2}
# side by side at 2: 0.2 0.3 0.3 0.4, two of four would go, but trials 1 and 2 are equal: only trial 0 goes.
# At 4: 0.9 0.5 0.6, one of three goes: trial 2. In turn nobody is in the lower half of those that came before.
TRUNCATION_TABLE = """
0: 0.1 0.2 0.3 0.4 | 2 | -
1: 0.2 0.3 0.1 0.9 | - | -
2: 0.3 0.3 0.5 0.5 | 4 | -
3: 0.4 0.1 0.6 0.6 | - | -
"""
QUARTER = {"type": "truncation_selection", "truncation_percentage": 34, "delay_evaluation": 2}
# trial 0 ends by itself at 1 and stands with 0.1 at all later intervals; one of three goes, and that would be trial 0
SHORT_TABLE = """
0: 0.1         | - | -
1: 0.3 0.3 0.3 | - | -
2: 0.2 0.2 0.4 | - | -
"""
# without finished ones: two running, 34 % of two is none; in turn nobody else runs
FINISHED = {**QUARTER, "truncation_percentage": 50}
# with trial 0: one of three, trial 0; at 2 without it: one of two, trial 2; in turn it is alone
FINISHED_TABLE = """
0: 0.1         | - | -
1: 0.3 0.3 0.3 | - | -
2: 0.2 0.2 0.4 | 2 | -
"""
HYPERBAND = {"type": "hyperband", "reduction_factor": 2}
# rungs 1, 2, 4. Side by side at 1: 0.1 0.2 0.3 0.05, two go on. At 2: 0.3 and 0.3 so far, equal. At 4: 0.5 and 0.3.
# In turn: trial 1 at 4 (0.5) against trial 0 (0.9), one of two goes on; trial 3 at 1 is the last of four.
HYPERBAND_TABLE = """
0: 0.10 0.20 0.20 0.90 | 1 | -
1: 0.20 0.30 0.40 0.50 | - | 4
2: 0.30 0.10 0.10 0.10 | 4 | 4
3: 0.05 0.90 0.90 0.90 | 1 | 1
"""
THIRD = {"type": "hyperband", "reduction_factor": 3, "minimum_epochs": 2}
# rungs 2 and 6; fewer than three trials at a rung: all go on (in turn trials 0 and 1, however bad)
THIRD_TABLE = """
0: 0.9 0.1 0.1 0.1 0.1 0.1 | - | -
1: 0.8 0.8 0.8 0.8 0.8 0.8 | 2 | -
2: 0.1 0.5 0.9 0.9 0.9 0.9 | 2 | 2
"""
# Bandit, slack 0.2 from epoch 2 on, with gaps: trial 1 has 0.3 at epoch 2 (its value of epoch 1); its evaluation waits
# for the next report, at 3, where the limit is 0.6 / 1.2 = 0.5.
GAPS_TABLE = """
0: 0.2 0.42 0.60 0.80 | - | -
1: 0.3  .   0.40 0.45 | 3 | 3
2: 0.3  .   0.50 0.70 | - | -
3: 0.1  nan  .   0.70 | - | -
4: 0.1  .   nan  0.60 | 4 | 4
"""
TABLES = {
    "bandit by factor": (BANDIT, BANDIT_TABLE),
    "bandit by amount": (AMOUNT, AMOUNT_TABLE),
    "bandit by amount, decimals": (DECIMAL, DECIMAL_TABLE),
    "bandit with gaps": (BANDIT, GAPS_TABLE),
    "median": (MEDIAN, MEDIAN_TABLE),
    "median, all trials": (MEDIAN_ALL, MEDIAN_ALL_TABLE),
    "median, delayed": (MEDIAN_LATE, MEDIAN_LATE_TABLE),
    "truncation": (TRUNCATION, TRUNCATION_TABLE),
    "truncation, short trial": (QUARTER, SHORT_TABLE),
    "truncation, excluding finished": ({**FINISHED, "exclude_finished_jobs": True}, FINISHED_TABLE),
    "truncation, including finished": (FINISHED, SHORT_TABLE),
    "hyperband": (HYPERBAND, HYPERBAND_TABLE),
    "hyperband, fewer than three": (THIRD, THIRD_TABLE),
}


@pytest.mark.parametrize("maximise", [True, False], ids=["maximise", "minimise"])
@pytest.mark.parametrize("name", TABLES)
def test_tables(name, maximise):
    options, table = TABLES[name]
    curves, together, in_turn = read(table)
    assert Simulation(options, maximise).side_by_side(curves) == together
    assert Simulation(options, maximise).in_turn(curves) == in_turn


def test_bandit_of_a_positive_loss():
    """Limits: 0.5 * 1.2 = 0.6 at epoch 2, 0.4 * 1.2 = 0.48 at epoch 3."""
    losses = [[0.9, 0.5, 0.4], [0.9, 0.61, 0.3], [0.9, 0.6, 0.48], [0.9, 0.55, 0.49]]
    simulation = Simulation(BANDIT, maximise=False)
    assert simulation.side_by_side([[-v for v in curve] for curve in losses]) == {1: 2, 3: 3}
    assert simulation.reasons == {
        1: "stopped by bandit at epoch 2: 0.61 > 0.6",
        3: "stopped by bandit at epoch 3: 0.49 > 0.48",
    }


def test_the_slack_of_a_negative_metric_lies_on_the_worse_side():
    """Best -0.5, limit -0.5 * 1.2 = -0.6."""
    simulation = Simulation(BANDIT)
    assert simulation.side_by_side([[-1.0, -0.5], [-1.0, -0.59], [-1.0, -0.61]]) == {2: 2}


def test_the_reason_names_policy_epoch_value_and_limit():
    curves, _, _ = read(BANDIT_TABLE)
    simulation = Simulation(BANDIT)
    simulation.side_by_side(curves)
    assert simulation.reasons == {
        1: "stopped by bandit at epoch 4: 0.5 < 0.6667",
        2: "stopped by bandit at epoch 2: 0.3 < 0.4167",
    }


# What all have in common ----------------------------------------------------------------------------------------------

EXAMPLES = {
    "none": {"type": "none"},
    "bandit": {"type": "bandit", "slack_amount": 0.01},
    "median_stopping": {"type": "median_stopping"},
    "truncation_selection": {"type": "truncation_selection", "truncation_percentage": 60},
    "hyperband": {"type": "hyperband", "reduction_factor": 2},
}
every_policy = pytest.mark.parametrize("name", list(POLICIES))


def random_curves(seed, trials=9, epochs=8):
    generator = np.random.default_rng(seed)
    values = generator.random((trials, epochs)).round(2) * generator.random((trials, 1))
    gone = generator.random((trials, epochs)) < 0.2
    return [
        [None if missing else float(v) for v, missing in zip(row[:length], holes, strict=False)] + [0.3]
        for row, holes, length in zip(values, gone, generator.integers(2, epochs, trials), strict=True)
    ]


def test_every_policy_has_an_example():
    assert set(EXAMPLES) == set(POLICIES)


@every_policy
@pytest.mark.parametrize("curve", [[0.9, 0.1, 0.0], [0.0, 0.0, 0.0], [-1.0, -2.0], [math.nan, 0.5, math.nan, 0.1]])
def test_the_only_trial_is_never_stopped(name, curve):
    assert Simulation(EXAMPLES[name]).in_turn([curve]) == {}
    assert Simulation(EXAMPLES[name], maximise=False).in_turn([curve]) == {}


@every_policy
def test_without_reports_nothing_happens(name):
    simulation = Simulation(EXAMPLES[name])
    first, second = simulation.study.ask(), simulation.study.ask()
    first.report(math.nan, 1)
    assert not first.should_prune()
    assert not second.should_prune()
    first.report(0.5, 2)
    assert not second.should_prune()
    assert not first.should_prune()


@every_policy
@pytest.mark.parametrize("value", [0.0, 0.4, -3.0])
def test_equal_trials_all_go_on(name, value):
    curves = [[value] * 9] * 6
    assert Simulation(EXAMPLES[name]).side_by_side(curves) == {}
    assert Simulation(EXAMPLES[name]).in_turn(curves) == {}


@every_policy
@pytest.mark.parametrize("seed", range(10))
def test_random_curves(name, seed):
    curves = random_curves(seed)
    simulation = Simulation(EXAMPLES[name])
    stopped = dict(simulation.side_by_side(curves))
    mirrored = Simulation(EXAMPLES[name], maximise=False)
    assert mirrored.side_by_side(curves) == stopped
    reversed_stops = Simulation(EXAMPLES[name]).side_by_side(curves[::-1])
    assert {len(curves) - 1 - n: epoch for n, epoch in reversed_stops.items()} == stopped  # the order is no matter
    for number, epoch in stopped.items():
        own = max(v for v in curves[number][:epoch] if v is not None)
        seen = [v for curve in curves for v in curve[:epoch] if v is not None]
        assert own < max(seen)
        assert simulation.reasons[number].startswith(f"stopped by {name} at epoch {epoch}: {own:.4g} < ")
    assert (name == "none") == (not stopped)


@every_policy
def test_failed_and_waiting_trials_do_not_count(name):
    simulation = Simulation(EXAMPLES[name])
    for _ in range(4):
        failed = simulation.study.ask()
        for epoch in range(1, 5):
            failed.report(1.0, epoch)
        simulation.study.tell(failed, state=optuna.trial.TrialState.FAIL)
    simulation.study.enqueue_trial({})
    weak = simulation.study.ask()
    simulation.study.enqueue_trial({})
    for epoch in range(1, 5):
        weak.report(0.1, epoch)
        assert not weak.should_prune()


@every_policy
def test_a_trial_may_be_asked_for_again(name):
    """What is known decides, not when it was asked: a trial that reported first is caught once others have."""
    simulation = Simulation(EXAMPLES[name])
    weak, *strong = (simulation.study.ask() for _ in range(6))
    weak.report(0.1, 1)
    assert not weak.should_prune()
    for trial in strong:
        trial.report(0.8, 1)
    assert weak.should_prune() == weak.should_prune() == (name != "none")


# Options --------------------------------------------------------------------------------------------------------------


def test_a_name_alone_and_null():
    assert PARSER.validate_python("median_stopping").type == "median_stopping"
    assert PARSER.validate_python("none") == PARSER.validate_python(None)
    assert PARSER.validate_python({"type": "none"}).type == "none"


def test_the_interval_of_0_is_1():
    curves = [[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]
    assert Simulation({**EXAMPLES["bandit"], "evaluation_interval": 0}).side_by_side(curves) == {0: 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "bandti", "slack_factor": 0.1}, "Unknown early termination policy .*'bandti'.*'bandit'"),
        ({"slack_factor": 0.1}, "key type is missing: expected one of bandit"),
        ({"type": "bandit", "slack_facto": 0.1}, "bandit has no key 'slack_facto'.*'slack_factor'"),
        ({"type": "median_stopping", "slack_factor": 0.1}, "median_stopping has no key 'slack_factor'"),
        ({"type": "bandit"}, "exactly one of slack_factor and slack_amount"),
        ({"type": "bandit", "slack_factor": 0.1, "slack_amount": 0.1}, "exactly one"),
        ({"type": "bandit", "slack_factor": -0.1}, "greater than or equal to 0"),
        ({"type": "bandit", "slack_factor": math.nan}, "finite"),
        ({"type": "truncation_selection"}, "truncation_percentage\n.*Field required"),
        ({"type": "truncation_selection", "truncation_percentage": 100}, "less than or equal to 99"),
        ({"type": "truncation_selection", "truncation_percentage": 0}, "greater than or equal to 1"),
        ({"type": "hyperband", "reduction_factor": 1}, "greater than or equal to 2"),
        ({"type": "median_stopping", "delay_evaluation": -1}, "greater than or equal to 0"),
        (7, "early_termination|valid dictionary|Unable to extract"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValidationError, match=message):
        PARSER.validate_python(options)
