"""What AutoMode decides: which recipes suit data and machine, which fit the time, and in which order they are tried."""

import dataclasses
import subprocess
import sys
import time

import optuna
import psutil
import pytest
from fake_trials import sweep

from automl_images.core.errors import SettingsError, TimeIsUpError
from automl_images.core.events import EventLog
from automl_images.sweep.automode.deciding import Candidate, extend_plan, make_plan
from automl_images.sweep.automode.plan import AutoModePlan
from automl_images.sweep.automode.portfolio import Conditions, DataFacts, parse_portfolio
from automl_images.sweep.automode.probe import Probe, run_probe
from automl_images.sweep.budget import seconds_used
from automl_images.sweep.samplers.portfolio import PortfolioSampler
from automl_images.sweep.study import JobStudy, ended_trials
from automl_images.sweep.trials import EVENTS

FACTS = DataFacts(training_images=100, validation_images=20, classes=4, image_side=640, object_side=30)
SEARCH = {"learning_rate": {"type": "loguniform", "min_value": -8, "max_value": -4}}


def candidate(name, seconds_an_image=0.1, epochs=10, problem="", rate=0.001):
    """An epoch of 120 images takes 120 times the seconds, a start 5."""
    probe = None if problem else Probe(seconds_an_image, seconds_an_image, 5.0, 2**30, True)
    configuration = {"model_name": "efficientnet_lite0", "learning_rate": rate, "layers_to_freeze": len(name)}
    return Candidate(name, configuration, SEARCH, epochs, probe, problem)


def test_without_a_limit_everything_is_tried_in_full():
    plan = make_plan([candidate("default"), candidate("second")], FACTS, trials=5, slots=1, budget_seconds=None)
    assert [(r.name, r.epochs) for r in plan.tried] == [("default", 10), ("second", 10)]
    assert plan.recipes[0].seconds_per_epoch == pytest.approx(12)


def test_what_does_not_fit_is_shortened_or_left_out_with_the_reason():
    given = [
        candidate("default"),
        candidate("slow", 0.2),
        candidate("huge", 5),
        candidate("broken", problem="no weights"),
    ]
    plan = make_plan(given, FACTS, trials=10, slots=1, budget_seconds=400)
    verdicts = {r.name: (r.epochs, r.reason) for r in plan.recipes}
    assert verdicts["default"] == (10, "")  # all of the time is there for 1.15 * 125 s
    assert verdicts["slow"] == (9, "shortened from 10 epochs to fit the time")  # 256 s for 1.15 * (5 + 24 an epoch)
    assert verdicts["huge"][0] == 0
    assert "needs 46.1 minutes at least, gets 0.0" in verdicts["huge"][1]
    assert verdicts["broken"] == (0, "no weights")
    assert [line.split(":")[0] for line in plan.table()] == ["default", "slow", "huge", "broken"]


@pytest.mark.parametrize(
    ("budget", "epochs", "reason"),
    [
        (120, 10, ""),  # 125 s are predicted; a cut in the last epoch loses little
        (100, 8, "shortened from 10 epochs to fit the time"),  # (100 - 5) / 12
        (40, 3, "shortened from 10 epochs to fit the time, which are few: more time gives a better model"),
        (3, 1, "shortened from 10 epochs to fit the time, which are few: more time gives a better model"),
    ],
)
def test_the_default_recipe_is_always_tried_with_the_epochs_that_fit(budget, epochs, reason):
    plan = make_plan([candidate("default"), candidate("second")], FACTS, trials=10, slots=1, budget_seconds=budget)
    assert [(r.name, r.epochs) for r in plan.recipes] == [("default", epochs), ("second", 0)]
    assert plan.recipes[0].reason == reason
    assert plan.least_seconds() <= budget  # so that it is begun
    assert AutoModePlan.from_dict(plan.as_dict()).tried == plan.tried


def test_a_default_of_unknown_cost_is_tried():
    unknown = Candidate("default", {"model_name": "m"}, {}, 10, None, note="a few steps alone take more than 9 seconds")
    plan = make_plan([unknown, candidate("second")], FACTS, 10, 1, budget_seconds=1000)
    assert [(r.name, r.epochs) for r in plan.tried] == [("default", 10), ("second", 10)]
    assert plan.table()[0].endswith("10 epochs (a few steps alone take more than 9 seconds)")


def test_what_the_user_lets_a_trial_take_is_what_it_is_planned_with():
    given = [candidate("default"), candidate("second"), candidate("huge", 5)]
    plan = make_plan(given, FACTS, 10, 1, budget_seconds=1000, trial_minutes=77 / 60)
    assert [(r.name, r.epochs) for r in plan.recipes] == [("default", 6), ("second", 5), ("huge", 0)]
    assert plan.least_seconds() < 77
    asked = {**plan.recipes[0].configuration, "number_of_epochs": 10}
    assert [plan.minutes_for(asked, seconds) for seconds in (None, 1000, 50)] == [77 / 60, 77 / 60, 0.75]
    assert AutoModePlan.from_dict(plan.as_dict()) == plan


def test_what_cannot_be_tried_at_all_is_not_tried_for_want_of_others():
    plan = make_plan([candidate("default", problem="no weights")], FACTS, 10, 1, budget_seconds=3)
    assert not plan.tried


def test_the_default_recipe_is_not_shortened_for_the_sake_of_others():
    plan = make_plan([candidate("default"), candidate("second")], FACTS, trials=10, slots=1, budget_seconds=150)
    assert [(r.name, r.epochs) for r in plan.recipes] == [("default", 10), ("second", 0)]  # 144 of 150 seconds


def test_what_takes_more_memory_than_there_is_is_left_out_but_the_default():
    large = Probe(0.1, 0.1, 5.0, 6 * 2**30, True)
    given = [dataclasses.replace(candidate(name), probe=large) for name in ("default", "big")]
    plan = make_plan([*given, candidate("small")], FACTS, 5, 1, None, memory_bytes=4 * 2**30)
    assert [(r.name, r.epochs > 0, r.reason) for r in plan.recipes] == [
        ("default", True, ""),
        ("big", False, "needs 6.0 GiB, a trial can have 4.0"),
        ("small", True, ""),
    ]


def test_time_is_that_of_the_recipe_that_was_drawn_though_the_default_is_part_of_it():
    default, larger = candidate("default"), candidate("default", seconds_an_image=1)
    larger = dataclasses.replace(larger, name="larger", configuration={**larger.configuration, "min_size": 480})
    plan = make_plan([default, larger], FACTS, 5, 1, None)
    drawn = {**larger.configuration, "learning_rate": 0.01, "number_of_epochs": 10}
    assert plan.minutes_for(drawn, 905.0) == 15.0  # 1.15 * 1205 s are more; 5 s go into the start
    drawn.pop("min_size")
    assert plan.minutes_for(drawn, 905.0) is None  # 1.15 * 125 s


def test_no_more_recipes_than_trials():
    plan = make_plan([candidate(name) for name in ("default", "a", "bb")], FACTS, 2, 1, None)
    assert [r.reason for r in plan.recipes] == ["", "", "max_trials is 2"]


def test_a_plan_is_kept_as_json():
    plan = make_plan([candidate("default"), candidate("second")], FACTS, 5, 1, 1000.0)
    assert AutoModePlan.from_dict(plan.as_dict()) == plan


def test_trials_follow_the_clock_where_time_is_short():
    plan = make_plan([candidate("default"), candidate("slow", 0.2)], FACTS, 5, 1, None)
    slow = {"model_name": "efficientnet_lite0", "layers_to_freeze": 4, "learning_rate": 0.01, "number_of_epochs": 10}
    needed = 1.15 * (5 + 10 * 24)
    assert plan.minutes_for(slow, None) is None
    assert plan.minutes_for(slow, 1.5 * needed) is None
    assert plan.minutes_for(slow, 1.4 * needed) == pytest.approx((1.4 * needed - 5) / 60, abs=0.005)
    assert plan.minutes_for(slow, 5.0) == 0.01
    unknown = dataclasses.replace(plan.recipes[0], seconds_per_epoch=None)
    assert AutoModePlan((unknown,), 600.0).minutes_for(unknown.configuration | {"number_of_epochs": 3}, 600.0) == 9.92
    assert plan.least_seconds() == pytest.approx(1.15 * (5 + 4 * 12))


def test_first_the_recipes_in_order_then_a_search_around_them(tmp_path):
    plan = make_plan([candidate("default", rate=0.002), candidate("second", rate=0.0005)], FACTS, 12, 1, None)
    space = plan.space()
    study = JobStudy(tmp_path, "job", None, PortfolioSampler(space, plan.starts(), 0))
    seen = []
    for number in range(12):
        asked = study.ask(space.suggest)
        seen.append(asked.configuration)
        rate = asked.configuration["learning_rate"]
        better = asked.configuration["layers_to_freeze"] == 6  # "second"
        study.tell(number, "Completed", 0.5 + 0.3 * better - abs(rate - 0.004), "")
    assert [c["learning_rate"] for c in seen[:2]] == pytest.approx([0.002, 0.0005])
    assert [plan.name_of(n) for n in range(3)] == ["default", "second", "search"]
    assert sum(c["layers_to_freeze"] == 6 for c in seen[2:]) > 5
    assert len({c["learning_rate"] for c in seen}) == 12
    assert all(c["number_of_epochs"] == 10 for c in seen)


def test_one_recipe_alone_is_searched_around(tmp_path):
    plan = make_plan([candidate("default")], FACTS, 3, 1, None)
    space = plan.space()
    study = JobStudy(tmp_path, "job", None, PortfolioSampler(space, plan.starts(), 0))
    rates = [study.ask(space.suggest).configuration["learning_rate"] for _ in range(3)]
    assert rates[0] == pytest.approx(0.001)
    assert len(set(rates)) == 3


def test_the_time_of_probes_counts(tmp_path):
    log = EventLog(tmp_path / EVENTS)
    for event, elapsed in [
        ("probed", 40.0),
        ("job_started", 0.0),
        ("working", 30.0),
        ("job_started", 0.0),
        ("working", 5),
    ]:
        log.write(event, elapsed=elapsed)
    assert seconds_used(tmp_path) == 75


def test_a_trial_is_not_begun_when_no_recipe_fits_any_more(tmp_path):
    with pytest.raises(TimeIsUpError, match="the shortest trial needs 16 min 40 s"):
        sweep(tmp_path, [{"score": 0.1}] * 5, seconds=100, least_seconds=1000).run()
    assert not (tmp_path / "0").exists()


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"images_from": 100, "images_below": 101}, True),
        ({"images_below": 100}, False),
        ({"classes_from": 5}, False),
        ({"classes_from": 4, "classes_below": 5}, True),
        ({"classes_below": 4}, False),
        ({"object_side_below": 31}, True),
        ({"object_side_below": 30}, False),
        ({"image_side_from": 800}, False),
    ],
)
def test_conditions_look_at_the_data(conditions, holds):
    assert Conditions(**conditions).hold(FACTS) is holds
    if "object_side_below" in conditions:
        assert not Conditions(**conditions).hold(DataFacts(100, 20, 4))


RATE = {"model_name": "m", "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"name": "a", "hyperparameters": {}}], "portfolio.t.a.hyperparameters has no model_name"),
        ([{"name": "a", "hyperparameter": {}}], r"portfolio\.t\.0\.hyperparameters: Field required"),
        (
            [{"name": "a", "hyperparameters": {"model_name": "m"}, "search": {"x": 1}}],
            r"portfolio\.t\.a\.search\.x: Unknown",
        ),
        (
            [{"name": "a", "hyperparameters": RATE, "search": {"learning_rate": "uniform(2)"}}],
            r"portfolio\.t\.a\.search\.learning_rate: uniform takes",
        ),
        (
            [{"name": "a", "hyperparameters": RATE, "search": {"learning_rate": "uniform(0.02, 0.1)"}}],
            r"portfolio\.t\.a\.search\.learning_rate must be a distribution that holds the recipe's own value, 0\.01, where",
        ),
        ([{"name": "a", "hyperparameters": RATE, "search": {"learning_rate": "choice(0.1)"}}], r"got 'choice\(0\.1\)'"),
        ([{"name": "a", "hyperparameters": RATE, "search": {"learning_rate": 0.01}}], "must be a distribution"),
        ([{"name": "a", "hyperparameters": {**RATE, "rate": 1}}], r"portfolio\.t\.a\.hyperparameters: Unknown"),
        ([{"name": "a", "hyperparameters": {**RATE, "weight_decay": "much"}}], r"t\.a\.hyperparameters: weight_decay"),
        (
            [
                {
                    "name": "a",
                    "hyperparameters": {**RATE, "number_of_workers": None},
                    "search": {"number_of_workers": "randint(3)"},
                }
            ],
            "own value, None",
        ),
        ([{"name": "a", "hyperparameters": {"model_name": "m"}, "hardware": ["tpu"]}], "hardware"),
    ],
)
def test_mistakes_in_a_portfolio_are_named(given, message):
    with pytest.raises(SettingsError, match=message):
        parse_portfolio("portfolio.t", given)


def test_recipes_are_written_as_everything_else_is():
    given = {"optimizer": "AdamW", "amsgrad": "true", "tile_grid_size": "(3, 2)", "learning_rate": "0.01"}
    search = {"optimizer": "choice(AdamW, sgd)", "amsgrad": "choice(True, False)"}
    [recipe] = parse_portfolio(
        "p.t", [{"name": "a", "hyperparameters": {"model_name": "m", **given}, "search": search}]
    )
    assert recipe.hyperparameters["optimizer"] == "adamw"
    assert (recipe.hyperparameters["ams_gradient"], recipe.hyperparameters["learning_rate"]) == (True, 0.01)
    assert recipe.search == {"optimizer": "choice(AdamW, sgd)", "ams_gradient": "choice(True, False)"}
    assert parse_portfolio("p.t", [recipe.model_dump()]) == [recipe]


def test_a_probe_that_fails_or_takes_too_long_says_so(tmp_path):
    import sys

    dies = [sys.executable, "-c", "print('no memory'); raise SystemExit(1)"]
    assert run_probe(tmp_path, dies, {}, 60) == (None, "a few steps failed: no memory")
    hangs = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert "take more than" in run_probe(tmp_path, hangs, {}, 0.5)[1]


def test_a_probe_ends_with_the_process_that_started_it(tmp_path):
    watches = "import os; from automl_images.tasks.parent import end_with_parent; end_with_parent();"
    child = [sys.executable, "-c", f"{watches} print(os.getpid(), flush=True); import time; time.sleep(600)"]
    program = (
        "import sys, pathlib; from automl_images.sweep.automode.probe import run_probe;"
        f"run_probe(pathlib.Path(sys.argv[1]), {child!r}, {{}}, 600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    console = tmp_path / "console.log"
    until = time.monotonic() + 60
    while not (console.exists() and console.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    probe = int(console.read_text())
    while psutil.pid_exists(probe) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(probe)


def test_a_recipe_that_does_not_fit_any_more_is_not_drawn_though_it_is_the_best(tmp_path):
    plan = make_plan([candidate("default"), candidate("slow", 0.2, rate=0.0005)], FACTS, 10, 1, None)
    assert [round(recipe.least_seconds, 1) for recipe in plan.tried] == [60.9, 116.1]  # 1.15 * (5 + 4 epochs)
    space, left = plan.space(), [1000.0]
    sampler = PortfolioSampler(space, plan.starts(), 0, lambda index: plan.is_open(index, left[0]))
    study = JobStudy(tmp_path, "job", None, sampler)
    drawn = []
    for number in range(8):
        left[0] = 100.0 if number >= 5 else 1000.0
        drawn.append(study.ask(space.suggest).configuration["layers_to_freeze"])
        study.tell(number, "Completed", 0.9 if drawn[-1] == 4 else 0.1, "")
    assert 4 in drawn[2:5]
    assert drawn[5:] == [7, 7, 7]


def test_optuna_knows_the_parameters_by_their_names(tmp_path):
    plan = make_plan([candidate("default"), candidate("second")], FACTS, 3, 1, None)
    space = plan.space()
    study = JobStudy(tmp_path, "job", None, PortfolioSampler(space, plan.starts(), 0))
    study.ask(space.suggest)
    [trial] = study._study.trials
    assert set(trial.params) == {"search_space", "learning_rate"}
    assert isinstance(trial.distributions["learning_rate"], optuna.distributions.FloatDistribution)


def ask(folder, plan, trials):
    """Go on with the study until it has so many trials; return all configurations, and whether each trial ended."""
    space = plan.space()
    sampler = PortfolioSampler(space, plan.starts(), 0, lambda branch: plan.is_open(branch, 1e6))
    study = JobStudy(folder, "job", None, sampler)
    while (made := len(study.asked())) < trials:
        study.tell(study.ask(space.suggest).number, "Completed", 0.5 + made / 100, "")
    found = [asked.configuration for asked in study.asked()]
    study.close()
    return found, ended_trials(folder, "job", None)


def made_by(plan, configuration):
    return [recipe.name for recipe in plan.recipes if recipe.leads_to(configuration)]


def test_recipes_that_max_trials_left_out_come_next_once_it_is_raised(tmp_path):
    given = [candidate(name, rate=rate) for name, rate in (("default", 0.002), ("a", 0.001), ("bb", 0.0005))]
    plan = make_plan(given, FACTS, 2, 1, 1000, timeout_minutes=20)
    before, ended = ask(tmp_path, plan, 2)
    plan = AutoModePlan.from_dict(plan.as_dict())
    assert plan.is_for_less(20, 20)
    raised = extend_plan(plan, 20, 20, 1, 700, ended)
    assert [(r.name, r.epochs, r.trial) for r in raised.recipes] == [("default", 10, 0), ("a", 10, 1), ("bb", 10, 2)]
    assert [raised.name_of(n) for n in range(4)] == ["default", "a", "bb", "search"]
    found, _ = ask(tmp_path, raised, 5)
    assert found[:2] == before
    assert found[2]["learning_rate"] == pytest.approx(0.0005)
    assert made_by(raised, found[2]) == ["bb"]
    assert not raised.is_for_less(20, 20)
    assert AutoModePlan.from_dict(raised.as_dict()) == raised


def test_recipes_that_a_limit_of_time_left_out_follow_the_trials_that_were_made_once_it_is_raised(tmp_path):
    given = [candidate("default", rate=0.002), candidate("huge", 1), candidate("a", problem="no weights")]
    plan = make_plan(given, FACTS, 20, 1, 400, timeout_minutes=10)
    assert [(r.epochs, r.in_space) for r in plan.recipes] == [(10, True), (0, True), (0, False)]
    before, ended = ask(tmp_path, plan, 4)
    assert {name for c in before for name in made_by(plan, c)} == {"default"}  # what is left out is never drawn
    raised = extend_plan(plan, 20, 110, 1, 3000, ended)
    assert [raised.name_of(n) for n in range(6)] == ["default", "search", "search", "search", "huge", "search"]
    assert raised.budget_seconds == 400 + 6000
    found, _ = ask(tmp_path, raised, 12)
    assert found[:4] == before
    assert (made_by(raised, found[4]), found[4]["learning_rate"]) == (["huge"], pytest.approx(0.001))
    assert "huge" in {name for c in found[5:] for name in made_by(raised, c)}  # it was the best: scores rise


def test_with_nothing_to_search_a_raised_limit_still_brings_the_recipes_that_were_left_out():
    given = [dataclasses.replace(candidate(name), search={}) for name in ("default", "a", "bb", "ccc")]
    plan = make_plan(given, FACTS, 2, 1, None, timeout_minutes=20)
    assert plan.most_trials(20) == 2
    assert extend_plan(plan, 20, 20, 1, 1e6, [True, True]).most_trials(20) == 4
    assert extend_plan(plan, 3, 20, 1, 1e6, [True, True]).recipes[3].reason == "max_trials is 3"


def test_with_nothing_to_search_a_default_that_is_tried_again_costs_no_recipe_its_trial():
    given = [dataclasses.replace(candidate(name), search={}) for name in ("default", "a")]
    plan = make_plan(given, FACTS, 20, 1, 60, timeout_minutes=1)
    raised = extend_plan(plan, 20, 101, 1, 6000, [True])
    assert [(r.name, r.trial) for r in raised.recipes] == [("default", 1), ("a", 2)]
    assert raised.most_trials(20) == 3


def test_what_is_planned_and_not_over_keeps_its_time_when_limits_are_raised():
    given = [candidate("default"), candidate("a"), candidate("bb")]
    plan = make_plan(given, FACTS, 2, 1, 1000, timeout_minutes=20)  # a trial takes 1.15 * 125 s
    epochs = [extend_plan(plan, 9, 20, 1, 300, over).recipes[2].epochs for over in ([True, True], [True, False], [])]
    assert epochs == [10, 10, 0]
    late = extend_plan(plan, 9, 20, 1, 300, [True, False]).recipes[2]
    assert late.trial == 2
    assert extend_plan(plan, 9, 20, 1, 300, [True] * 5).recipes[2].trial == 5


def test_a_default_recipe_that_was_shortened_is_tried_as_a_whole_once_there_is_time(tmp_path):
    given = [candidate("default"), candidate("huge", 1)]  # a whole default takes 1.15 * 125 s
    plan = make_plan(given, FACTS, 20, 1, 60, timeout_minutes=1)
    assert [(r.epochs, r.trial) for r in plan.recipes] == [(5, 0), (0, None)]
    _, ended = ask(tmp_path, plan, 1)
    raised = extend_plan(plan, 20, 101, 1, 6000, ended)
    assert [raised.name_of(n) for n in range(4)] == ["search", "default", "huge", "search"]
    assert [r.epochs for r in raised.recipes] == [10, 10]
    found, _ = ask(tmp_path, raised, 3)
    assert [made_by(raised, c) for c in found] == [["default"], ["default"], ["huge"]]
    assert extend_plan(plan, 20, 2, 1, 60, ended).name_of(0) == "default", "no more time than before"
    assert extend_plan(dataclasses.replace(plan, max_trials=1), 1, 101, 1, 6000, ended).name_of(0) == "default"
    assert extend_plan(plan, 20, 101, 1, 6000, []).name_of(0) == "default", "not asked for yet: it will have the time"


def test_the_shortest_trial_follows_a_raised_limit_of_time():
    plan = make_plan([candidate("default")], FACTS, 10, 1, 3, timeout_minutes=1)
    assert plan.least_seconds() == 1.5
    assert extend_plan(plan, 10, 11, 1, 600, []).least_seconds() == pytest.approx(1.15 * (5 + 12))


def test_smaller_limits_are_no_reason_to_plan_again():
    plan = make_plan([candidate("default")], FACTS, 10, 1, 600, timeout_minutes=10)
    assert [plan.is_for_less(*limits) for limits in ((10, 10), (9, 9), (11, 9), (9, 11))] == [False, False, True, True]
    assert extend_plan(plan, 11, 9, 1, 100, []).timeout_minutes == 10


def test_a_plan_of_an_older_version_keeps_its_trials_and_its_space():
    plan = make_plan([candidate("default"), candidate("huge", 5), candidate("a")], FACTS, 5, 1, 400)
    older = plan.as_dict()
    for recipe in older["recipes"]:
        del recipe["in_space"], recipe["trial"]
    del older["max_trials"], older["timeout_minutes"]
    found = AutoModePlan.from_dict(older)
    assert [found.name_of(n) for n in range(3)] == ["default", "a", "search"]
    assert len(found.space().branches) == 2
    assert not found.is_for_less(1000, 86400)


def test_where_no_recipe_fits_any_more_only_those_that_are_tried_may_be_drawn():
    plan = make_plan([candidate("default"), candidate("huge", 5), candidate("slow", 0.2)], FACTS, 5, 1, 500)
    assert [plan.is_open(branch, 1000) for branch in range(3)] == [True, False, True]
    assert [plan.is_open(branch, 100) for branch in range(3)] == [True, False, False]
    assert [plan.is_open(branch, 1) for branch in range(3)] == [True, False, True]


def test_what_is_left_out_does_not_follow_from_how_a_note_begins():
    odd = Candidate("default", {"model_name": "m"}, {}, 10, None, note="needs more than 9 seconds for a few steps")
    assert make_plan([odd], FACTS, 5, 1, 600).tried[0].epochs == 10
