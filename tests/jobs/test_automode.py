"""Which recipes AutoMode begins with, given what the job fixes and which weights are here; jobs with larger limits."""

from pathlib import Path

import pytest
import yaml

from automl_images.core.types import Table
from automl_images.jobs import automode, trials
from automl_images.jobs.automode import recipes_for, suiting
from automl_images.jobs.options import parse_job_options
from automl_images.sweep.automode.portfolio import DataFacts, Recipe, held
from automl_images.sweep.automode.probe import Probe
from automl_images.sweep.samplers.portfolio import PortfolioSampler
from automl_images.sweep.study import JobStudy
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import TASKS, get_task

ROOT = Path(__file__).parents[2]
TASK, LITE = "image_classification", "efficientnet_lite0"
SEARCH = {"learning_rate": {"type": "loguniform", "min_value": -8, "max_value": -5}}
PORTFOLIO = {
    TASK: [
        {"name": "lite", "hyperparameters": {"model_name": LITE, "learning_rate": 0.002}, "search": SEARCH},
        {"name": "decayed", "hyperparameters": {"model_name": LITE, "layer_decay": 0.7}},
        {"name": "vit", "hyperparameters": {"model_name": "vitb16r224"}},
    ]
}


def recipes(**training_parameters):
    block = {"task": TASK, "limits": {"max_trials": 5}, "training_parameters": training_parameters}
    return recipes_for(parse_job_options(TASK, {**block, "source": {"path": "x"}}), get_task(TASK), PORTFOLIO)


def test_a_parameter_that_is_null_is_not_fixed(monkeypatch):
    monkeypatch.setattr(trials, "may_be_had", lambda source: True)
    found = recipes(model_name=None, random_seed=3)
    assert [recipe.name for recipe in found] == ["default", "lite", "decayed", "vit"]
    assert found[0].hyperparameters["model_name"] == "vitb16r224"


def test_without_its_weights_the_tasks_model_is_not_the_measure(monkeypatch):
    monkeypatch.setattr(trials, "may_be_had", lambda source: False)
    found = recipes(model_name=None)
    assert found[0].hyperparameters == {"model_name": LITE, "learning_rate": 0.001}
    assert found[0].search == SEARCH


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"model_name": LITE}, ["default", "lite", "decayed"]),
        ({"model_name": LITE, "learning_rate": 0.005}, ["default", "decayed"]),
        ({"model_name": LITE, "layer_decay": 0.7, "learning_rate": 0.002}, ["default", "lite", "decayed"]),
    ],
)
def test_what_the_job_fixes_holds(fixed, expected):
    found = recipes(**fixed)
    assert [recipe.name for recipe in found] == expected
    assert not any(fixed.keys() & recipe.search.keys() for recipe in found)
    assert found[0].hyperparameters.keys() <= {"model_name", "learning_rate"}


@pytest.mark.parametrize("task", TASKS.names())
def test_each_recipe_of_the_committed_portfolio_lies_in_its_own_search(task):
    """Also the default of each model: the search begins at its values, and goes on after them."""
    portfolio = yaml.safe_load((ROOT / "conf/base/parameters_portfolio.yml").read_text())["portfolio"]
    for model_name in {recipe["hyperparameters"]["model_name"] for recipe in portfolio[task]}:
        block = {"task": task, "limits": {"max_trials": 5}, "training_parameters": {"model_name": model_name}}
        options = parse_job_options(task, {**block, "source": {"path": "x"}})
        found = recipes_for(options, get_task(task), portfolio)
        assert [held(recipe.search, recipe.hyperparameters) for recipe in found] == [r.search for r in found]


def test_a_better_rate_that_is_searched_elsewhere_leaves_the_default_its_own(tmp_path, monkeypatch):
    """Many trials: their values are chosen by what came of those before, the first ones included."""
    far = {"learning_rate": {"type": "loguniform", "min_value": -5, "max_value": -3}}
    better = {"name": "far", "hyperparameters": {"model_name": LITE, "learning_rate": 0.01}, "search": far}
    limits = {"max_trials": 16}
    plan, _ = planned(tmp_path, monkeypatch, limits, 1e6, portfolio={TASK: [better]}, model_name=LITE)
    study = JobStudy(tmp_path, "job", None, PortfolioSampler(plan.space(), plan.starts(), 0))
    asked = []
    for number in range(16):
        asked.append(study.ask(plan.space().suggest).configuration)
        study.tell(number, "Completed", 1 - abs(asked[-1]["learning_rate"] - 0.001), "")
    study.close()
    around = [values["learning_rate"] for values in asked if values["learning_rate"] < 0.0067]
    assert asked[0]["learning_rate"] == 0.001
    assert len(around) > 5
    assert all(0.00033 < rate < 0.0031 for rate in around)


def test_what_the_default_does_not_set_is_no_search_around_it():
    search = {"layers_to_freeze": "quniform(1, 8, 1)", "number_of_workers": "randint(3)"}
    values = {"model_name": LITE, "layers_to_freeze": 3, "number_of_workers": 0}
    options = parse_job_options(TASK, {"task": TASK, "limits": {"max_trials": 5}, "source": {"path": "x"}})
    found = recipes_for(
        options, get_task(TASK), {TASK: [{"name": "frozen", "hyperparameters": values, "search": search}]}
    )
    assert [recipe.search for recipe in found] == [{}, search]


def requests_of(tmp_path, limits, **training_parameters):
    block = {"task": TASK, "limits": limits, "training_parameters": training_parameters}
    options = parse_job_options(TASK, {**block, "source": {"path": "x"}})
    rows = [{"image_url": str(i), "label": "ab"[i % 2]} for i in range(20)]
    for name in ("training", "validation"):
        (tmp_path / name).mkdir(exist_ok=True)
    return trials.Requests(
        options,
        get_task(TASK),
        Table(rows, tmp_path / "training"),
        Table(rows, tmp_path / "validation"),
        {},
        lambda model_name, values: dict(values),
    )


def planned(tmp_path, monkeypatch, limits, seconds, ended=(), portfolio=PORTFOLIO, **training_parameters):
    """Return the plan of a job whose probes cost nothing, and the environments of the probes."""
    seen = []

    def probe(place, command, environment, limit):
        seen.append(environment)
        return Probe(0.01, 0.01, 1.0, 2**30, True), ""

    monkeypatch.setattr(automode, "run_probe", probe)
    requests = requests_of(tmp_path, limits, **training_parameters)
    recipes = recipes_for(requests.options, get_task(TASK), portfolio)
    return automode.plan_automode(tmp_path, requests, recipes, seconds, lambda: list(ended)), seen


def plan_of(tmp_path, monkeypatch, seconds=3600.0, **training_parameters):
    """Return the plan of a job whose probes cost nothing, and the configurations of its first trials."""
    requests = requests_of(tmp_path, {"max_trials": 4}, **training_parameters)
    plan, _ = planned(tmp_path, monkeypatch, {"max_trials": 4}, seconds, **training_parameters)
    study = JobStudy(tmp_path, "job", None, PortfolioSampler(plan.space(), plan.starts(), 0))
    asked = [study.ask(plan.space().suggest).configuration for _ in range(plan.most_trials(4))]
    study.close()
    return plan, [requests(number, chosen).hyperparameters for number, chosen in enumerate(asked)]


@pytest.mark.parametrize(
    ("fixed", "trials_made", "searched"),
    [
        ({"advanced_settings": {"apply_automl_train_augmentations": False}}, 4, "learning_rate"),
        ({"learning_rate": 0.01}, 4, "weight_decay"),
        ({"learning_rate": 0, "weight_decay": 0.1}, 2, None),  # as many as there are recipes
    ],
)
def test_what_the_job_fixes_is_in_every_trial_and_never_searched(tmp_path, monkeypatch, fixed, trials_made, searched):
    plan, found = plan_of(tmp_path, monkeypatch, model_name=LITE, **fixed)
    assert len(found) == trials_made
    assert all(fixed.items() <= values.items() for values in found)
    assert {name for recipe in plan.tried for name in recipe.search} == ({searched} - {None})
    if searched:
        assert len({values[searched] for values in found}) > 1


def test_the_job_is_the_same_when_other_weights_are_to_be_had(monkeypatch):
    fingerprints = []
    for reachable in (True, False):
        monkeypatch.setattr(trials, "may_be_had", lambda source, found=reachable: found)
        options = parse_job_options(TASK, {"task": TASK, "limits": {"max_trials": 5}, "source": {"path": "x"}})
        chosen = trials.configuration(options, get_task(TASK), {})
        first = TrialRequest(0, TASK, chosen.model_name, dict(chosen.hyperparameters), ["a"], "", "", "h", {}, "m")
        fingerprints.append(trials.about_job(options, first, {chosen.model_name: {}}))
    assert fingerprints[0] == fingerprints[1]


def test_what_the_default_leaves_no_time_for_is_not_probed(tmp_path, monkeypatch):
    plan, _ = plan_of(tmp_path, monkeypatch, seconds=2.0, model_name=LITE)
    [default, *others] = plan.recipes
    assert 0 < default.epochs < default.epochs_asked
    assert others
    assert {other.reason for other in others} == {"the default recipe leaves no time"}


def test_recipes_are_for_hardware_and_data_and_the_default_is_for_all():
    large, cpu = {"hardware": ["large_gpu"]}, {"hardware": ["cpu", "small_gpu"]}
    many = {"when": {"images_from": 1000}}
    given = {"default": large | many, "large": large, "cpu": cpu, "many": many, "both": cpu | many, "all": {}}
    recipes = [Recipe(name=name, hyperparameters={"model_name": LITE}, **values) for name, values in given.items()]

    def names(images, hardware):
        return [[r.name for r in found] for found in suiting(recipes, DataFacts(images, 20, 4), hardware)]

    assert names(100, "cpu") == [["default", "cpu", "all"], ["large", "many", "both"]]
    assert names(1000, "cpu") == [["default", "cpu", "many", "both", "all"], ["large"]]
    assert names(1000, "large_gpu") == [["default", "large", "many", "all"], ["cpu", "both"]]


def test_recipes_for_other_data_are_told_and_not_tried(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    for_many = {**PORTFOLIO[TASK][0], "when": {"images_from": 1000}}
    plan, _ = planned(tmp_path, monkeypatch, {"max_trials": 4}, 3600.0, portfolio={TASK: [for_many]}, model_name=LITE)
    assert [recipe.name for recipe in plan.recipes] == ["default"]
    assert "AutoMode: for other data or hardware: lite." in caplog.text


def test_with_larger_limits_what_was_left_out_is_probed_where_it_must_be_and_tried_after_the_trials_made(
    tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    limits = {"max_trials": 5, "timeout_minutes": 1}
    first, probes = planned(tmp_path, monkeypatch, limits, 2.0, model_name=LITE)
    assert [(r.epochs > 0, r.trial) for r in first.recipes] == [(True, 0), (False, None), (False, None)]
    assert len(probes) == 1
    again, probes = planned(tmp_path, monkeypatch, limits, 3600.0, [True], model_name=LITE)
    assert (again, probes) == (first, [])
    raised = {"max_trials": 5, "timeout_minutes": 60}
    caplog.clear()
    later, probes = planned(tmp_path, monkeypatch, raised, 3500.0, [True, True], model_name=LITE)
    assert [(r.name, r.trial, r.reason) for r in later.recipes] == [
        ("default", 2, ""),  # it had been shortened
        ("lite", 3, ""),
        ("decayed", 4, ""),
    ]
    assert len(probes) == 2
    assert later.budget_seconds == pytest.approx(first.budget_seconds + 59 * 60)
    assert "AutoMode, as limits were raised: decayed: efficientnet_lite0, 0.4 s an epoch" in caplog.text
    assert "AutoMode, as limits were raised: default: efficientnet_lite0, 0.4 s an epoch, 1.0 GiB: 15" in caplog.text
    assert planned(tmp_path, monkeypatch, raised, 3000.0, [True] * 3, model_name=LITE) == (later, [])


@pytest.mark.parametrize(("fixed", "cores"), [({}, 16 // 8), ({"learning_rate": 0.01, "weight_decay": 0}, 16 // 2)])
def test_a_probe_has_the_cores_that_a_trial_will_have(tmp_path, monkeypatch, fixed, cores):
    """Nothing to search: one trial a recipe, of which two agree with what is fixed."""
    monkeypatch.setenv("AUTOML_IMAGES_CORES", "16")
    limits = {"max_trials": 20, "max_concurrent_trials": 8}
    plan, probes = planned(tmp_path, monkeypatch, limits, 3600.0, model_name=LITE, **fixed)
    assert {environment["OMP_NUM_THREADS"] for environment in probes} == {str(cores)}
    assert plan.most_trials(20) == (2 if fixed else 20)
