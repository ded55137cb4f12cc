"""Commands in this process; `tests/test_cli.py` types them as a user does."""

import errno
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.io import DatasetError

from automl_images.cli.data import data_group
from automl_images.cli.model import model_group
from automl_images.cli.plain_errors import plain_errors
from automl_images.core.errors import DataError, SettingsError
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
    assert (row["name"], row["choices"]) == ("learning_rate_scheduler", ["warmup_cosine", "step", "none"])
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


@pytest.mark.parametrize("name", ["trunc.json", "bad.jsonl"])
def test_a_broken_source_is_named_with_its_line(tmp_path, name):
    text = {
        "trunc.json": '{"images": [], "categories": [],\n "annotations": [{"bbox": [1, 2',
        "bad.jsonl": "{}\n",
    }[name]
    (tmp_path / name).write_text(text)
    result = CliRunner().invoke(data_group, ["check", "--source", str(tmp_path / name)])
    assert result.exit_code == 1
    assert str(tmp_path / name) in result.stderr
    assert ("trunc.json:2 cannot be read as COCO: JSON_INVALID" in result.stderr) == (name == "trunc.json")


@pytest.mark.parametrize(
    ("cause", "shown", "code"),
    [
        (DataError("rows.jsonl:3 is damaged"), "Error: rows.jsonl:3 is damaged", 1),
        (SettingsError("no such key"), "Error: no such key", 2),
        (OSError(errno.EROFS, "Read-only file system"), "Error: [Errno 30] Read-only file system", 1),
        (ValueError("odd"), "Error: Failed while loading", 1),
    ],
)
def test_what_kedro_wraps_is_shown_plainly_and_our_own_message_is_kept(capsys, cause, shown, code):
    with pytest.raises(SystemExit) as ended, plain_errors():
        raise DatasetError("Failed while loading") from cause
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(shown)
    with pytest.raises(SystemExit), plain_errors():
        raise DataError("file:2 cannot be read") from cause
    assert capsys.readouterr().err == "Error: file:2 cannot be read\n"
