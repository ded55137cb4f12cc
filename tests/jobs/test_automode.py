"""Which recipes AutoMode begins with, given what the job fixes and which weights are here."""

import pytest

from automl_images.jobs import trials
from automl_images.jobs.automode import recipes_for
from automl_images.jobs.options import parse_job_options
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
    assert fixed.items() <= found[0].hyperparameters.items()


def test_the_job_is_the_same_when_other_weights_are_to_be_had(monkeypatch):
    fingerprints = []
    for reachable in (True, False):
        monkeypatch.setattr(trials, "may_be_had", lambda source, found=reachable: found)
        options = parse_job_options(TASK, {"task": TASK, "limits": {"max_trials": 5}, "source": {"path": "x"}})
        chosen = trials.configuration(options, get_task(TASK), {})
        first = TrialRequest(0, TASK, chosen.model_name, dict(chosen.hyperparameters), ["a"], "", "", "h", {}, "m")
        fingerprints.append(trials.about_job(options, first, {chosen.model_name: {}}))
    assert fingerprints[0] == fingerprints[1]
