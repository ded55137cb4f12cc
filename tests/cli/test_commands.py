"""Commands in this process; `tests/test_cli.py` types them as a user does."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl_images.cli.data import data_group
from automl_images.cli.model import model_group
from automl_images.core.hyperparameters import TABLE, resolve

SAMPLE = Path(__file__).parents[2] / "data" / "01_raw" / "sample"


def model(*arguments):
    return CliRunner().invoke(model_group, arguments)


def test_nothing_wrong_prints_no_table_of_findings():
    folders = SAMPLE / "folders"
    result = CliRunner().invoke(data_group, ["check", "--task", "image_classification", "--source", str(folders)])
    assert result.exit_code == 0
    assert "Summary" in result.stdout
    assert "finding" not in result.stdout


def test_hyperparameters_are_explained_for_all_one_task_or_one_model():
    rows = json.loads(model("hyperparameters", "--json").stdout)
    assert [row["name"] for row in rows] == [row.name for row in TABLE]
    [row] = json.loads(model("hyperparameters", "lr_scheduler", "--json").stdout)
    assert (row["name"], row["choices"]) == ("learning_rate_scheduler", ["warmup_cosine", "step"])
    said = model("hyperparameters", "img_size").stdout
    assert all(word in said for word in ("image_size", "img_size", "int in [32, ∞)", "640", "multiple of 32", "yolov5"))
    of_task = model("hyperparameters", "--task", "image_classification").stdout
    assert "weighted_loss" in of_task
    assert "min_size" not in of_task


def test_hyperparameters_of_a_model_have_its_own_defaults():
    of_model = json.loads(model("hyperparameters", "--model", "yolov5", "--json").stdout)
    assert {row["name"]: row["default"] for row in of_model} == resolve("object_detection", "yolov5", {})
    both = json.loads(model("hyperparameters", "learning_rate", "--model", "vitb16r224", "--json").stdout)
    assert {row["task"]: row["default"] for row in both} == {
        "image_classification": 0.0125,
        "image_classification_multilabel": 0.025,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learning_rat"], "Did you mean 'learning_rate'"),
        (["min_size", "--model", "yolov5"], "min_size does not apply to yolov5"),
        (["--model", "yolov6"], "Did you mean 'yolov5'"),
    ],
)
def test_mistyped_hyperparameters_and_models_are_told(arguments, message):
    result = model("hyperparameters", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
