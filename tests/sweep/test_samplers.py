import itertools
import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from pydantic import ValidationError
from scipy.stats import qmc

from automl_images.core.errors import SettingsError
from automl_images.sweep.samplers import SAMPLERS, SamplingOptions, build_sampler, number_of_trials
from automl_images.sweep.samplers.bayesian import STARTUP_TRIALS
from automl_images.sweep.space import SearchSpace

SPACE = SearchSpace.parse(
    [
        {"model_name": "yolov5", "learning_rate": "loguniform(-9, -2)", "momentum": "uniform(0.5, 0.9)"},
        {
            "model_name": "choice(retinanet_resnet50_fpn, fasterrcnn_resnet18_fpn)",
            "learning_rate": "normal(0.01, 0.005)",
            "min_size": "quniform(200, 400, 32)",
        },
    ]
)
CHOICES = SearchSpace.parse(
    [
        {"model_name": "yolov5", "momentum": "choice(0.8, 0.9)", "layers_to_freeze": "choice(1, 2, 3)"},
        {"model_name": "choice(retinanet_resnet50_fpn)", "tile_grid_size": "choice('3x2', '2x2')", "nesterov": True},
        {"model_name": "atss"},
    ]
)


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def sampling(value):
    return SamplingOptions.model_validate(value)


def new_study(options, space=SPACE, **more):
    return optuna.create_study(direction="maximize", sampler=build_sampler(sampling(options), space), **more)


def score(values):
    ceiling = {"yolov5": 0.8}.get(values["model_name"], 0.6)
    return ceiling * math.exp(-((math.log10(values.get("learning_rate", 0.01)) + 2) ** 2))


def sweep(study, trials, space=SPACE):
    asked = []
    for _ in range(trials):
        trial = study.ask()
        asked.append(space.suggest(trial))
        study.tell(trial, score(asked[-1]))
    return asked


RANDOM = ["random", {"type": "random", "rule": "sobol"}]
ALL = [(options, SPACE) for options in (*RANDOM, "bayesian")] + [("grid", CHOICES)]


@pytest.mark.parametrize(("options", "space"), ALL)
def test_a_sweep_that_is_stopped_and_resumed_asks_for_the_same(options, space, tmp_path):
    number = STARTUP_TRIALS + 2 if options == "bayesian" else 4
    expected = sweep(new_study(options, space), number, space)
    place = {"storage": f"sqlite:///{tmp_path}/study.db", "study_name": "job", "load_if_exists": True}
    asked = sweep(new_study(options, space, **place), number - 2, space)
    asked += sweep(new_study(options, space, **place), 2, space)
    assert asked == expected


@pytest.mark.parametrize("options", ["random", {"rule": "sobol"}, "bayesian"])
def test_another_seed_is_another_sequence(options):
    kind = sampling(options).model_dump(exclude_unset=True)
    assert sweep(new_study({**kind, "seed": 1}), 4) != sweep(new_study({**kind, "seed": 2}), 4)
    assert sweep(new_study({**kind, "seed": 1}), 4) == sweep(new_study({**kind, "seed": 1}), 4)


@pytest.mark.parametrize("options", RANDOM)
def test_a_random_trial_depends_on_its_number_and_not_on_what_was_told(options):
    expected = sweep(new_study(options), 6)
    study = new_study(options)
    trials = [study.ask() for _ in range(6)]
    assert [SPACE.suggest(trial) for trial in reversed(trials)] == expected[::-1]


@pytest.mark.parametrize("options", RANDOM)
def test_random_draws_both_branches_evenly_and_stays_inside(options):
    asked = sweep(new_study(options), 200)
    yolo = [values for values in asked if values["model_name"] == "yolov5"]
    others = [values for values in asked if values["model_name"] != "yolov5"]
    assert 80 <= len(yolo) <= 120
    assert {v["model_name"] for v in others} == {"retinanet_resnet50_fpn", "fasterrcnn_resnet18_fpn"}
    assert all(math.exp(-9) <= v["learning_rate"] <= math.exp(-2) for v in yolo)
    assert all(0 <= v["learning_rate"] <= 0.035 for v in others)
    assert {224, 352} < {v["min_size"] for v in others} <= set(range(192, 385, 32))


def test_sobol_covers_the_space_better_than_chance():
    names = ("momentum", "box_score_threshold", "tile_predictions_nms_threshold", "nms_iou_threshold")
    space = SearchSpace.parse([dict.fromkeys(names, "uniform(0, 1)")])

    def discrepancy(options):
        return qmc.discrepancy([list(values.values()) for values in sweep_points(options)])

    def sweep_points(options):
        study = new_study(options, space)
        return [space.suggest(study.ask()) for _ in range(32)]

    for seed in range(3):
        assert discrepancy({"rule": "sobol", "seed": seed}) < 0.6 * discrepancy({"rule": "random", "seed": seed})


def test_the_grid_is_the_product_of_each_branch_in_the_order_of_the_file():
    asked = sweep(new_study("grid", CHOICES), CHOICES.size, CHOICES)
    first = [
        {"model_name": "yolov5", "momentum": m, "layers_to_freeze": n}
        for m, n in itertools.product((0.8, 0.9), (1, 2, 3))
    ]
    second = [
        {"model_name": "retinanet_resnet50_fpn", "tile_grid_size": tiles, "nesterov": True}
        for tiles in ((3, 2), (2, 2))
    ]
    assert asked == [*first, *second, {"model_name": "atss"}]


def test_a_grid_ends():
    study = new_study("grid", CHOICES)
    number = number_of_trials(sampling("grid"), CHOICES, 1000)
    sweep(study, number, CHOICES)
    assert number == 9
    with pytest.raises(SettingsError, match="has 9 configurations"):
        CHOICES.suggest(study.ask())


def test_a_grid_goes_around_what_was_enqueued_failed_or_is_running():
    study = new_study("grid", CHOICES)
    study.enqueue_trial({"search_space": 0, "momentum": 0.8, "layers_to_freeze": 2})
    asked = [CHOICES.suggest(study.ask()) for _ in range(2)]
    failed = study.ask()
    asked.append(CHOICES.suggest(failed))
    study.tell(failed, state=TrialState.FAIL)
    asked.append(CHOICES.suggest(study.ask()))
    assert [(a["momentum"], a["layers_to_freeze"]) for a in asked] == [(0.8, 2), (0.8, 1), (0.8, 3), (0.9, 1)]


def test_a_grid_of_something_else_is_refused_with_its_path():
    with pytest.raises(SettingsError, match=r"search_space\[0\].learning_rate: grid sampling takes choice"):
        build_sampler(sampling("grid"), SPACE)


@pytest.mark.parametrize(
    ("options", "space", "number"),
    [("grid", CHOICES, 9), ("random", CHOICES, 50), ("bayesian", SPACE, 50), ("random", SearchSpace.parse([]), 1)],
)
def test_the_number_of_trials(options, space, number):
    assert number_of_trials(sampling(options), space, 50) == number


def test_bayesian_finds_the_better_branch_and_its_learning_rate():
    best = [max(score(values) for values in sweep(new_study({"type": "bayesian", "seed": s}), 18)) for s in range(2)]
    last = sweep(new_study("bayesian"), 20)[-6:]
    assert min(best) > 0.78
    assert sum(values["model_name"] == "yolov5" for values in last) >= 4


def test_bayesian_gives_a_branch_twice_the_trials_of_the_next_best():
    space = SearchSpace.parse([{"optimizer": name, "nesterov": True} for name in ("sgd", "adam", "adamw")])
    study = new_study("bayesian", space)
    asked = []
    for _ in range(56):
        trial = study.ask()
        asked.append(space.suggest(trial)["optimizer"])
        study.tell(trial, {"sgd": 0.2, "adam": 0.5, "adamw": 0.4}[asked[-1]])
    assert asked[:6] == ["sgd", "adam", "adamw"] * 2
    assert [asked.count(name) for name in ("adam", "adamw", "sgd")] == pytest.approx([32, 16, 8], abs=1)


def test_bayesian_turns_away_from_a_branch_that_fails():
    study = new_study("bayesian")
    asked = []
    for _ in range(STARTUP_TRIALS + 5):
        trial = study.ask()
        asked.append(SPACE.suggest(trial)["model_name"])
        if asked[-1] == "yolov5":
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 0.5)
    assert "yolov5" not in asked[STARTUP_TRIALS:]


def test_bayesian_spreads_concurrent_trials():
    study = new_study("bayesian")
    sweep(study, STARTUP_TRIALS + 2)
    asked = [SPACE.suggest(study.ask()) for _ in range(4)]
    assert all(a != b for a, b in itertools.combinations(asked, 2))


@pytest.mark.parametrize(
    ("name", "distribution", "step"),
    [
        ("momentum", "quniform(0, 1, 1e-9)", 1e-9),
        ("number_of_epochs", "quniform(2, 9e15, 2)", 2),
        ("layers_to_freeze", "randint(9007199254740992)", 1),
    ],
)
def test_bayesian_keeps_no_list_of_the_values_of_a_fine_grid(name, distribution, step):
    space = SearchSpace.parse([{name: distribution}])
    study = new_study("bayesian", space)
    for _ in range(STARTUP_TRIALS + 2):
        trial = study.ask()
        value = space.suggest(trial)[name]
        assert value == pytest.approx(round(value / step) * step, rel=1e-15)
        assert space.parameters[name].value(value) == value
        study.tell(trial, -abs(value - space.parameters[name].ends()[1] / 3))
    assert type(value) is type(space.parameters[name].ends()[0])


def test_bayesian_learns_from_pruned_trials_and_survives_failed_ones():
    space = SearchSpace.parse([{"momentum": "uniform(0, 1)"}])
    study = new_study("bayesian", space)
    for number in range(STARTUP_TRIALS + 6):
        trial = study.ask()
        value = 1 - abs(space.suggest(trial)["momentum"] - 0.7)
        if number % 4 == 3:
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.report(value, 1)
            study.tell(trial, state=TrialState.PRUNED)
    last = [trial.params["momentum"] for trial in study.trials[-3:]]
    assert np.abs(np.array(last) - 0.7).min() < 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gird", "Did you mean 'grid'"),
        ({"type": "grid", "seed": 1}, "seed does not fit the type grid; it is for bayesian, random"),
        ({"type": "bayesian", "rule": "sobol"}, "rule does not fit the type bayesian"),
        ({"type": "bayesian", "logbase": 10}, "logbase does not fit"),
        ({"type": "random", "rule": "halton"}, "'random' or 'sobol'"),
        ({"type": "random", "logbase": 1}, "other than 1"),
        ({"type": "random", "logbase": -2}, "above zero"),
        ({"type": "random", "logbase": "ten"}, "must be 'e' or a number"),
        ({"type": "random", "sed": 1}, "sed"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        sampling(given)


def test_a_name_is_enough_and_logbase_is_a_number():
    assert sampling("random") == SamplingOptions()
    assert sampling("random").log_base == math.e
    assert sampling({"type": "random", "logbase": 10}).log_base == 10


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_every_algorithm_suggests_legal_values_from_the_first_trial_on(name):
    asked = sweep(new_study(name, CHOICES), 5, CHOICES)
    names = {example["model_name"] for example in CHOICES.examples()}
    assert {values["model_name"] for values in asked} <= names
