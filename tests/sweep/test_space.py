import math

import pytest

from automl_images.core.errors import SettingsError, TrainingError
from automl_images.sweep.selection import best_trial
from automl_images.sweep.space import check, sample

SPACE = [
    {"model_name": "yolov5", "learning_rate": {"type": "uniform", "min_value": 0.001, "max_value": 0.01}},
    {
        "model_name": {"type": "choice", "values": ["fasterrcnn_resnet18_fpn", "retinanet_resnet50_fpn"]},
        "optimizer": "choice('sgd', 'adam')",
        "min_size": {"type": "quniform", "min_value": 200, "max_value": 400, "q": 32},
        "weight_decay": "loguniform(-9, -6)",
    },
]


def test_samples_lie_inside_and_both_branches_are_drawn():
    drawn = [sample(SPACE, 0, n) for n in range(200)]
    yolo = [d for d in drawn if d["model_name"] == "yolov5"]
    others = [d for d in drawn if d["model_name"] != "yolov5"]
    assert len(yolo) > 60
    assert len(others) > 60
    assert all(0.001 <= d["learning_rate"] <= 0.01 for d in yolo)
    assert {d["model_name"] for d in others} == {"fasterrcnn_resnet18_fpn", "retinanet_resnet50_fpn"}
    assert {d["optimizer"] for d in others} == {"sgd", "adam"}
    assert all(d["min_size"] % 32 == 0 for d in others)
    assert all(math.exp(-9) <= d["weight_decay"] <= math.exp(-6) for d in others)


def test_a_trial_depends_on_seed_and_number_only():
    assert [sample(SPACE, 3, n) for n in (5, 1)] == [sample(SPACE, 3, 5), sample(SPACE, 3, 1)]
    assert [sample(SPACE, 3, n) for n in range(20)] != [sample(SPACE, 4, n) for n in range(20)]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ([{"learning_rat": 0.1}], "learning_rat"),
        (
            [{"learning_rate": {"type": "unifrom", "min_value": 0, "max_value": 1}}],
            r"search_space\[0\].learning_rate: .*uniform",
        ),
        ([{"learning_rate": {"type": "uniform", "min_value": 1, "max_value": 0.5}}], "above max_value"),
        (
            [{"learning_rate": {"type": "uniform", "min_value": 0.1, "max_value": 2}}],
            r"search_space\[0\].learning_rate: .*\[0, 1\]",
        ),
        ([{"learning_rate": {"type": "uniform", "min": 0.1}}], "takes min_value, max_value"),
        ([{"optimizer": {"type": "choice", "values": []}}], "non-empty"),
        ([{"optimizer": "choice('sgd', 'adamm')"}], "adamw"),
        ([{}], "is empty"),
    ],
)
def test_mistakes_are_named_with_their_path(space, message):
    with pytest.raises(SettingsError, match=message):
        check(space)


def test_the_best_trial_wins_and_of_equals_the_earlier():
    rows = [
        {"trial": 2, "status": "Completed", "m": 0.7},
        {"trial": 0, "status": "Failed", "m": 0.9},
        {"trial": 4, "status": "Completed", "m": float("nan")},
        {"trial": 1, "status": "Canceled", "m": 0.7},
        {"trial": 3, "status": "Completed", "m": 0.2},
    ]
    assert best_trial(rows, "m")["trial"] == 1


def test_without_any_metric_the_causes_are_told():
    with pytest.raises(TrainingError, match="trial 0: Failed: out of memory"):
        best_trial([{"trial": 0, "status": "Failed", "m": None, "note": "out of memory"}], "m")
