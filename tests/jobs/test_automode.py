"""Which recipes AutoMode begins with, given what the job fixes and which weights are here."""

import pytest

from automl_images.core.types import Table
from automl_images.jobs import automode, trials
from automl_images.jobs.automode import recipes_for
from automl_images.jobs.options import parse_job_options
from automl_images.sweep.automode.probe import Probe
from automl_images.sweep.samplers.portfolio import PortfolioSampler
from automl_images.sweep.study import JobStudy
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import get_task

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


def plan_of(tmp_path, monkeypatch, seconds=3600.0, **training_parameters):
    """Return the plan of a job whose probes cost nothing, and the configurations of its first trials."""
    monkeypatch.setattr(automode, "run_probe", lambda *given: (Probe(0.01, 0.01, 1.0, 2**30, True), ""))
    block = {"task": TASK, "limits": {"max_trials": 4}, "training_parameters": training_parameters}
    options = parse_job_options(TASK, {**block, "source": {"path": "x"}})
    rows = [{"image_url": str(i), "label": "ab"[i % 2]} for i in range(20)]
    for name in ("training", "validation"):
        (tmp_path / name).mkdir()
    requests = trials.Requests(
        options,
        get_task(TASK),
        Table(rows, tmp_path / "training"),
        Table(rows, tmp_path / "validation"),
        {},
        lambda model_name, values: dict(values),
    )
    recipes = recipes_for(options, get_task(TASK), PORTFOLIO)
    plan = automode.plan_automode(tmp_path, requests, recipes, 1, seconds)
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
