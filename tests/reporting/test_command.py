"""The command of the report gives kedro the very parameters that the run had."""

import shlex

import click
import pytest
import yaml
from kedro.framework.cli.utils import _split_params

from automl_images.reporting.command import reproduce


def read_back(result):
    """Return the parameters that kedro gets from the command and the file."""
    words = shlex.split(result["command"])
    assert words[:3] == ["kedro", "run", "--pipeline=object_detection"]
    if result["parameters"]:
        assert len(words) == 3
        return yaml.safe_load(result["parameters"])
    return _split_params(click.Context(click.Command("run")), None, words[words.index("--params") + 1])


@pytest.mark.parametrize(
    "options",
    [
        {"source": {"path": "../data/my set/a.json", "format": "coco"}, "max_invalid": 0.05},
        {"training_parameters": {"learning_rate": 1e-05, "ema": True, "number_of_epochs": 3}},
        {"training_parameters": {"model_name": "1e-3"}},
        {"training_parameters": {"advanced_settings": '{"a": {"b": 1, "c": 2}}'}},
        {"source": {"path": "a,b=c.json"}},
        {"source": {"path": "null"}},
        {"source": {"path": "it's ${HOME}; rm -rf x"}},
        {"search_space": [{"model_name": "yolov5", "learning_rate": {"type": "uniform", "min_value": 0.1}}]},
    ],
)
def test_kedro_reads_the_parameters_back(options):
    result = reproduce("object_detection", {"task": "object_detection", **options})
    assert read_back(result) == {"object_detection": options}


def test_defaults_alone_need_no_parameters():
    result = reproduce("object_detection", {"task": "object_detection", "export": {}, "search_space": []})
    assert result == {"command": "kedro run --pipeline=object_detection", "parameters": ""}
