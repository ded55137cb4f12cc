"""The words a run ends with."""

import errno

import pytest
from kedro.io import DataCatalog, DatasetError

from automl_images.core.errors import DataError, Interrupted, ModelError, SettingsError, TimeIsUpError, TrainingError
from automl_images.datasets.files import TextDataset
from automl_images.datasets.model import OnnxDataset
from automl_images.jobs.summary import closing_words, resume_words

RESULT = {
    "job": "calm_fox",
    "trials": 3,
    "model_name": "yolov5",
    "trial": 0,
    "primary_metric": "mean_average_precision",
    "metric": 0.5,
    "interval": [0.4, 0.6],
    "registered_model": "m",
    "version": "1",
    "registered_before": False,
    "champion": True,
}
KEPT = "Trial 0 (yolov5), the default recipe, is kept: trial 2 (x) is not surely better."


@pytest.fixture
def catalog(tmp_path):
    return DataCatalog(
        {
            "t.report": TextDataset(filepath=str(tmp_path / "report.html")),
            "t.onnx_model": OnnxDataset(filepath=str(tmp_path / "best/model.onnx")),
        }
    )


@pytest.mark.parametrize(
    ("before", "words"),
    [(False, "version 1, now the champion"), (True, "version 1 (it was there already), the champion")],
)
def test_they_say_when_the_model_was_registered_before(catalog, before, words):
    result = {**RESULT, "comparison": None, "registered_before": before}
    assert words in closing_words("t", result, catalog, 90.0)


@pytest.mark.parametrize("comparison", [{"kept": "default", "sentence": KEPT}, None])
def test_they_say_when_the_default_recipe_was_kept(catalog, tmp_path, comparison):
    text = closing_words("t", {**RESULT, "comparison": comparison}, catalog, 90.0)
    assert "yolov5 (trial 0): mean_average_precision 0.5000 (95 % interval 0.400 to 0.600)" in text
    assert str(tmp_path / "report.html") in text
    assert (KEPT in text) == (comparison is not None)
    assert "ended early" not in text
    cut = closing_words("t", {**RESULT, "sweep_ended": "timeout_minutes reached"}, catalog, 90.0)
    assert "the sweep ended early: timeout_minutes reached" in cut


@pytest.mark.parametrize(
    ("cause", "cured"),
    [
        (Interrupted("stopped"), True),
        (TrainingError("a worker died"), True),
        (RuntimeError("x"), True),
        (OSError(errno.ENOSPC, "full"), True),
        (SettingsError("no such key"), False),
        (DataError("rows.jsonl is damaged"), False),
        (ModelError("model.onnx was changed"), False),
        (OSError(errno.EROFS, "Read-only file system"), False),
    ],
)
def test_the_same_command_is_advised_only_where_it_can_help(monkeypatch, cause, cured):
    monkeypatch.setattr("sys.argv", ["kedro", "run", "--params", "a b"])
    wrapped = DatasetError("Failed while loading")
    wrapped.__cause__ = cause
    for error in (cause, wrapped):
        words = resume_words(error)
        assert (words is not None) == cured
        if words:
            assert words.endswith("run --params 'a b'")


def test_who_ran_out_of_time_is_told_that_more_is_needed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["kedro", "run"])
    assert "with a larger limits.timeout_minutes the same command goes on" in resume_words(TimeIsUpError("x"))
    assert "timeout_minutes" not in resume_words(Interrupted("canceled"))


def test_closing_words_name_commands_that_are_on_the_path_under_uv(monkeypatch, tmp_path):
    catalog = DataCatalog(
        {
            "t.report": TextDataset(filepath=str(tmp_path / "report.html")),
            "t.onnx_model": OnnxDataset(filepath=str(tmp_path / "best/model.onnx")),
        }
    )
    assert "open the report · kedro mlflow ui" in closing_words("t", RESULT, catalog, 1.0)
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert "open the report · uv run kedro mlflow ui · uv run kedro viz" in closing_words("t", RESULT, catalog, 1.0)
