"""What is checked of a job before any data is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from automl_images.core.errors import AutoMLImagesError
from automl_images.core.files import write_json
from automl_images.core.tracking import NullTracker
from automl_images.jobs.before_start import check_models
from automl_images.jobs.options import parse_job_options
from automl_images.jobs.store import JobStore

ROOT = Path(__file__).parents[2]
NO_DATA = {"source": {"path": "no/such/file.json"}}


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf_cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


def checked(folder, task, **block):
    options = parse_job_options(task, {"task": task, **NO_DATA, **block})
    return check_models(options, JobStore(folder / "jobs"), NullTracker())


@pytest.mark.parametrize(
    ("task", "training", "message"),
    [
        ("object_detection", {"weights": "nowhere.pth"}, "There is no weights file nowhere.pth"),
        ("object_detection", {"checkpoint_run_id": "nobody"}, "'nobody' is neither a job"),
        (
            "object_detection",
            {"checkpoint_dataset_id": "nowhere", "checkpoint_filename": "m"},
            "neither a folder nor a registered model",
        ),
        ("image_classification", {"validation_crop_size": 225}, "must be a multiple of 16"),
        ("image_classification", {"model_name": "resnet18", "layers_to_freeze": 6}, "at most 5 for resnet18"),
        ("object_detection", {"mixed_precision": "fp16"}, "fp16 needs a CUDA device"),
        ("object_detection", {"random_seed": 2**32}, "random_seed must lie in"),
        (
            "object_detection",
            {"model_name": "mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco"},
            "is for instance_segmentation, not for object_detection",
        ),
        ("object_detection", {"model_name": "nobody/nothing"}, r"or take fasterrcnn_efficientnet_lite0_fpn\."),
    ],
)
def test_mistakes_are_told_where_there_is_no_data_yet(tmp_path, task, training, message):
    with pytest.raises(AutoMLImagesError, match=message):
        checked(tmp_path, task, training_parameters=training)


def test_every_model_of_a_search_space_is_checked(tmp_path):
    space = [{"model_name": "choice('efficientnet_lite0', 'vitb16r224')", "validation_crop_size": "choice(224, 225)"}]
    with pytest.raises(AutoMLImagesError, match="must be a multiple of 16"):
        checked(tmp_path, "image_classification", search_space=space, limits={"max_trials": 4})


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    write_json(tmp_path / "settings.json", {"model_name": "resnet18", "classes": ["a"]})
    (tmp_path / "model.safetensors").touch()
    training = {"checkpoint_dataset_id": str(tmp_path), "checkpoint_filename": "model.safetensors"}
    with pytest.raises(AutoMLImagesError, match="is of the model resnet18, the job trains vitb16r224"):
        checked(tmp_path, "image_classification", training_parameters=training)


@pytest.mark.parametrize("record", ['{"editor.tabSize": 4}', "[1]", "no JSON"])
def test_a_file_of_settings_that_is_not_ours_says_nothing_of_a_checkpoint(tmp_path, record):
    (tmp_path / "settings.json").write_text(record)
    (tmp_path / "model.safetensors").touch()
    training = {"checkpoint_dataset_id": str(tmp_path), "checkpoint_filename": "model.safetensors"}
    with pytest.raises(AutoMLImagesError, match="cannot be read as weights") as caught:
        checked(tmp_path, "image_classification", training_parameters=training)
    assert "weights_only" not in str(caught.value)


def test_models_that_begin_with_random_weights_are_named_once(tmp_path):
    space = [{"model_name": "choice('yolov5', 'fasterrcnn_efficientnet_lite0_fpn')", "learning_rate": "uniform(0, 1)"}]
    [warning] = checked(tmp_path, "object_detection", search_space=space, limits={"max_trials": 4})
    assert warning.startswith("yolov5: There are no pretrained weights")
    assert warning.endswith("With weights that are on this machine: fasterrcnn_efficientnet_lite0_fpn.")


def run(folder, **training):
    """Run the pipeline as a user types it, on a file of annotations that does not exist."""
    settings = {"data_root": folder / "data", "object_detection.source.path": "no/such/file.json"}
    settings |= {f"object_detection.training_parameters.{name}": value for name, value in training.items()}
    params = ",".join(f"{name}={value}" for name, value in settings.items())
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=object_detection", "--params", params]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    return " ".join((result.stdout + result.stderr).split())


def test_a_run_says_it_before_it_reads_data(tmp_path):
    said = run(tmp_path, weights="nowhere.pth")
    assert "There is no weights file nowhere.pth" in said
    assert "no/such/file.json" not in said


@pytest.mark.slow
def test_a_run_warns_of_random_weights_before_it_reads_data(tmp_path):
    said = run(tmp_path, model_name="yolov5")
    assert said.count("There is nothing at the source's path") == 1
    assert said.index("training starts from random weights") < said.index("no/such/file.json")
