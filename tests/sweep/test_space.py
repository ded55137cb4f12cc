import math

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from automl_images.core.errors import SettingsError
from automl_images.core.hyperparameters import TABLE, resolve
from automl_images.sweep.distributions import FIELDS, Choice
from automl_images.sweep.space import SearchSpace

SPACE = [
    {"model_name": "yolov5", "learning_rate": {"type": "uniform", "min_value": 0.001, "max_value": 0.01}},
    {
        "model_name": {"type": "choice", "values": ["fasterrcnn_resnet18_fpn", "retinanet_resnet50_fpn"]},
        "optimizer": "choice('sgd', 'adam')",
        "min_size": {"type": "quniform", "min_value": 200, "max_value": 400, "q": 32},
        "weight_decay": "loguniform(-9, -6)",
    },
]


def one(name, value, **more):
    branch = SearchSpace.parse([{name: value}], **more).branches[0]
    return branch.sampled.get(name, branch.fixed.get(name))


def test_a_trial_is_asked_for_its_branch_and_then_for_the_branch_alone():
    space = SearchSpace.parse(SPACE)
    trial = FixedTrial({"search_space": 0, "learning_rate": 0.005})
    assert space.suggest(trial) == {"model_name": "yolov5", "learning_rate": 0.005}
    assert set(trial.params) == {"search_space", "learning_rate"}
    asked = {
        "search_space": 1,
        "model_name": "retinanet_resnet50_fpn",
        "optimizer": "adam",
        "min_size": 320,
        "weight_decay": 0.001,
    }
    values = space.suggest(FixedTrial(asked))
    assert values == {name: value for name, value in asked.items() if name != "search_space"}
    assert type(values["min_size"]) is int


def test_one_dictionary_is_a_list_of_one_and_has_no_branch_to_choose():
    space = SearchSpace.parse(SPACE[0])
    assert list(space.parameters) == ["learning_rate"]
    assert space.branches == SearchSpace.parse(SPACE[:1]).branches


@pytest.mark.parametrize("nothing", [None, []])
def test_without_a_space_nothing_is_asked(nothing):
    space = SearchSpace.parse(nothing)
    assert (space.suggest(FixedTrial({})), list(space.examples())) == ({}, [])


def test_parameters_are_named_by_branch_only_where_distributions_differ():
    space = SearchSpace.parse(
        [
            {"learning_rate": "uniform(0.1, 0.2)", "momentum": "uniform(0.5, 0.9)", "optimizer": "sgd"},
            {"learning_rate": "uniform(0.1, 0.3)", "momentum": "uniform(0.5, 0.9)"},
            {"optimizer": "choice(adam, adamw)"},
        ]
    )
    assert list(space.parameters) == [
        "search_space",
        "search_space[0].learning_rate",
        "momentum",
        "search_space[1].learning_rate",
        "optimizer",
    ]
    values = space.suggest(FixedTrial({"search_space": 1, "search_space[1].learning_rate": 0.25, "momentum": 0.7}))
    assert values == {"learning_rate": 0.25, "momentum": 0.7}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("uniform(0.1, 1)", {"type": "uniform", "min_value": 0.1, "max_value": 1}),
        (" loguniform ( -9,-2 ) ", {"type": "loguniform", "min_value": -9, "max_value": -2}),
        ("quniform(0, 1, 0.1)", {"type": "quniform", "min_value": 0, "max_value": 1, "q": 0.1}),
        ("normal(0.1, 1e-2)", {"type": "normal", "mu": 0.1, "sigma": 0.01}),
        ("qlognormal(-3, 1, 0.01)", {"type": "qlognormal", "mu": "-3", "sigma": 1, "q": "1e-2"}),
        ("choice(0.1, 1)", {"type": "choice", "values": [0.1, 1]}),
    ],
)
def test_the_text_form_means_the_mapping(text, same):
    assert one("learning_rate", text) == one("learning_rate", same)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("optimizer", "choice('sgd', \"adam\",adamw)", ("sgd", "adam", "adamw")),
        ("nesterov", "choice(True, False)", (True, False)),
        ("layers_to_freeze", "choice(1, 2)", (1, 2)),
        ("tile_grid_size", "choice('3x2', '(4, 2)')", ((3, 2), (4, 2))),
        ("model_name", "choice('facebook/detr-resnet-50', yolov5)", ("facebook/detr-resnet-50", "yolov5")),
        ("weight_decay", "choice(1e-4, 0)", (1e-4, 0.0)),
    ],
)
def test_texts_of_a_choice_get_the_type_of_the_hyperparameter(name, text, values):
    assert one(name, text) == Choice(values)


def test_values_get_the_type_of_the_table_and_canonical_names():
    space = SearchSpace.parse([{"img_size": "4.0e2", "multi_scale": "yes", "layers_to_freeze": None}])
    assert space.suggest(FixedTrial({})) == {"image_size": 400, "multi_scale": True, "layers_to_freeze": None}


def test_null_among_the_values_means_not_given():
    distribution = one("layers_to_freeze", {"type": "choice", "values": [None, 2]})
    assert [distribution.draw(u) for u in (0.1, 0.9)] == [None, 2]


def test_logbase_is_the_base_of_all_logarithms():
    assert one("learning_rate", "loguniform(-4, -1)", log_base=10.0).ends() == pytest.approx((1e-4, 0.1))
    assert one("learning_rate", "uniform(0.1, 0.2)", log_base=10.0).ends() == (0.1, 0.2)
    assert one("learning_rate", "lognormal(-3, 0.1)", log_base=10.0).draw(0.5) == pytest.approx(1e-3)


@given(row=st.sampled_from([row for row in TABLE if row.kind != "json"]), kind=st.sampled_from(sorted(FIELDS)))
def test_each_type_of_hyperparameter_takes_its_distributions_and_no_others(row, kind):
    assume(kind != "randint" or not row.minimum)  # it draws 0
    low, high, q = {"float": (0.2, 0.4, 0.1), "int": (1, 2, 1)}.get(row.kind, (0, 1, 1))
    low, high = (max(low, row.minimum or 0), high + (row.minimum or 0)) if row.kind == "int" else (low, high)
    scale = math.log if "log" in kind and low else float
    arguments = {"min_value": scale(low), "max_value": scale(high), "mu": scale(high), "sigma": 0.5, "q": q, "upper": 1}
    values = {"int": [high], "float": [0.5], "bool": [True], "grid": ["3x2"], "text": ["x"], "choice": row.choices}
    arguments["values"] = list(values[row.kind])
    given = {"type": kind, **{name: arguments[name] for name in FIELDS[kind]}}
    if kind == "choice" or row.kind == "float" or (row.kind == "int" and (kind.startswith("q") or kind == "randint")):
        ends = one(row.name, given).ends()
        assert all(row.parse(end) == end and isinstance(end, int) >= (row.kind == "int") for end in ends)
    else:
        with pytest.raises(SettingsError, match=rf"search_space\[0\].{row.name}: expected a literal or choice"):
            one(row.name, given)


EXTREMES = [0, 10, 2**53, 10**400, -(10**400), 5e-324, 1e-310, 1e-300, 1e300, 1e308, -1e308, math.inf, math.nan]
ANY_NUMBER = st.sampled_from(EXTREMES) | st.floats() | st.floats(-10, 10) | st.integers(-50, 50)
NUMBERS = [row for row in TABLE if row.kind in ("int", "float")]


def parsed(name, value, log_base=math.e):
    """Return the space, or None where it is refused with its path."""
    try:
        return SearchSpace.parse([{name: value}], log_base)
    except SettingsError as error:
        refused = str(error)
    assert refused.startswith(f"search_space[0].{name}: ")
    return None


@given(
    row=st.sampled_from(NUMBERS),
    kind=st.sampled_from([kind for kind in FIELDS if kind != "choice"]),
    numbers=st.lists(ANY_NUMBER, min_size=3, max_size=3),
    log_base=st.sampled_from([math.e, 10.0, 1e-300, 1e300, 1 + 1e-15]),
)
def test_any_numbers_of_a_distribution_are_drawn_from_or_refused_with_their_path(row, kind, numbers, log_base):
    space = parsed(row.name, {"type": kind, **dict(zip(FIELDS[kind], numbers, strict=False))}, log_base)
    if space:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        values = [space.suggest(study.ask())[row.name] for _ in range(3)]
        values += [space.parameters[row.name].draw(u) for u in (0.0, 0.3, 1 - 1e-16)]
        assert all(row.parse(value) == value for value in values)


@given(row=st.sampled_from(NUMBERS), number=ANY_NUMBER)
def test_any_number_is_a_literal_or_refused_with_its_path(row, number):
    space = parsed(row.name, number)
    assert space is None or math.isfinite(space.branches[0].fixed[row.name])


def test_examples_cover_every_model_and_end():
    space = SearchSpace.parse(SPACE)
    examples = list(space.examples())
    assert {e["model_name"] for e in examples} == {"yolov5", "fasterrcnn_resnet18_fpn", "retinanet_resnet50_fpn"}
    assert {e["min_size"] for e in examples if "min_size" in e} == {192, 384}
    assert {e["optimizer"] for e in examples if "optimizer" in e} == {"sgd", "adam"}


def test_examples_find_what_does_not_fit_together():
    space = SearchSpace.parse([{"min_size": "choice(800, 400)", "max_size": "quniform(600, 1333, 1)"}])
    with pytest.raises(SettingsError, match="min_size 800 is above max_size 600"):
        [resolve("object_detection", "retinanet_resnet50_fpn", example) for example in space.examples()]


@pytest.mark.parametrize(
    ("space", "size"),
    [
        ([{"optimizer": "choice(sgd, adam)", "momentum": "choice(0.8, 0.9, 0.95)"}, {"optimizer": "sgd"}], 7),
        ([{"optimizer": "sgd"}], 1),
        ([{"optimizer": "choice(sgd, adam)", "momentum": "uniform(0.8, 0.9)"}], None),
    ],
)
def test_the_size_is_known_for_choices(space, size):
    assert SearchSpace.parse(space).size == size


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            [{"number_of_epochs": "qnormal(10, 1e308, 1)"}],
            r"search_space\[0\].number_of_epochs: .*wider than any float",
        ),
        ([{"learning_rate": {"type": "uniform", "min_value": 0, "max_value": 10**400}}], "max_value must be a number"),
        ([{"learning_rate": 10**400}], r"search_space\[0\].learning_rate: learning_rate must be a number"),
        ([{"tile_overlap_ratio": "qnormal(1e-300, 0.5, 1e-300)"}], "tile_overlap_ratio: q 1e-300 is too small"),
        ([{"learning_rate": "qlognormal(-3, 1, 1e-310)"}], "learning_rate: q 1e-310 is too small"),
        ([{"learning_rate": "normal(0.1, 1e308)"}], r"hardly ever lies in \[0, 1\]"),
        ([{"layers_to_freeze": "randint(1e300)"}], r"at most 2\*\*53"),
        ([{"learning_rat": 0.1}], r"search_space\[0\].learning_rat: .*'learning_rate'"),
        ([SPACE[0], {"model_nam": "x"}], r"search_space\[1\].model_nam: .*'model_name'"),
        ([{"learning_rate": "unifrom(0, 1)"}], r"search_space\[0\].learning_rate: .*'uniform'"),
        ([{"learning_rate": {"type": "unifrom", "min_value": 0, "max_value": 1}}], "'uniform'"),
        ([{"learning_rate": {"min_value": 0, "max_value": 1}}], "without type"),
        ([{"learning_rate": {"type": "uniform", "min_value": 1, "max_value": 0.5}}], "above max_value"),
        ([{"learning_rate": "uniform(0.1, 2)"}], r"search_space\[0\].learning_rate: .*\[0, 1\]"),
        ([{"learning_rate": "loguniform(0.0001, 0.1)"}], r"for 0.0001 to 0.1 write -9.21 and -2.303"),
        ([{"label_smoothing": "uniform(0, 1)"}], r"\[0, 1\)"),
        ([{"training_batch_size": "quniform(1, 10, 4)"}], "got 0. This is an end of what quniform draws"),
        ([{"learning_rate": "quniform(0.001, 0.002, 0.01)"}], "learning_rate: quniform draws 0 alone, as its q is too"),
        ([{"number_of_epochs": "randint(10)"}], "got 0"),
        ([{"learning_rate": {"type": "uniform", "min": 0.1}}], "takes min_value, max_value, got min"),
        ([{"learning_rate": "uniform(0.1)"}], r"takes min_value, max_value, got \(0.1\)"),
        ([{"optimizer": {"type": "choice", "values": []}}], "non-empty"),
        ([{"optimizer": {"type": "choice", "values": "sgd"}}], "needs a list"),
        ([{"optimizer": "choice('sgd', 'adamm')"}], "adamw"),
        ([{"optimizer": "choice(it's)"}], "quotes"),
        ([{"optimizer": ["sgd", "adam"]}], "type: choice, values"),
        ([{"learning_rate": "choice(0.1, '0.1')"}], "0.1 twice"),
        ([{"lr_scheduler": "step", "learning_rate_scheduler": "step"}], "two spellings"),
        ([{"advanced_settings": "{}"}], "training_parameters"),
        ([{"model_name": 5}], "name of a model"),
        ([{"model_name": "choice(5, 6)"}], "name of a model"),
        ([{"model_name": "uniform(5, 6)"}], "expected a literal or choice"),
        ([{}], r"search_space\[0\] is empty"),
        ([[]], r"search_space\[0\] must be a dictionary"),
        ("random", "must be a list of dictionaries"),
    ],
)
def test_mistakes_are_named_with_their_path(space, message):
    with pytest.raises(SettingsError, match=message):
        SearchSpace.parse(space)
