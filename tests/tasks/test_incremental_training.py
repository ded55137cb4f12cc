"""Training that begins with a checkpoint goes on from what that one had learnt."""

from pathlib import Path

import pytest

from automl_images.core.errors import SettingsError
from automl_images.core.events import EventLog, read_events
from automl_images.core.files import write_json
from automl_images.core.hyperparameters import resolve
from automl_images.core.tracking import NullTracker
from automl_images.data.conversion import convert
from automl_images.data.mltable import class_names
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import split
from automl_images.jobs.checkpoints import with_checkpoint
from automl_images.jobs.store import JobStore
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import get_task
from automl_images.training.settings import TrainingSettings
from automl_images.training.trainer import train

SAMPLE = Path(__file__).parents[2] / "data/01_raw/sample/folders"
TASK, MODEL = "image_classification", "efficientnet_lite0"
TINY = {"training_crop_size": 96, "validation_crop_size": 96, "validation_resize_size": 112, "number_of_workers": 0}


def _curve(folder, **given):
    """Train on the sample and return the validation loss of each epoch."""
    task = get_task(TASK)
    rows = convert(SourceOptions(path=SAMPLE), task.label_kind).rows
    sides = split(rows, 0.2, 0, task.label_kind)
    values = resolve(
        TASK, MODEL, {**TINY, "number_of_epochs": 2, "optimizer": "adamw", "learning_rate": 0.001, **given}
    )
    request = TrialRequest(
        number=0,
        task=TASK,
        model_name=MODEL,
        hyperparameters=values,
        classes=class_names(rows, task.label_kind),
        training_table="",
        validation_table="",
        data_hash="",
        augmentation_plan=task.augmentation_plans({MODEL: values}),
        primary_metric=task.primary_metric,
    )
    folder.mkdir(parents=True)
    request.save(folder)
    learner, _ = task.learner(request, sides.training, sides.validation)
    train(learner, TrainingSettings.from_hyperparameters(values), folder, events=EventLog(folder / "events.jsonl"))
    return [event["log_loss"] for event in read_events(folder / "events.jsonl") if event["event"] == "epoch"]


@pytest.mark.slow
def test_a_job_that_continues_another_is_ahead_of_it_from_the_first_epoch(tmp_path):
    store = JobStore(tmp_path / "jobs")
    job, _ = store.open("fingerprint", "first", {})
    first = _curve(job.folder / "0")
    values = with_checkpoint(MODEL, resolve(TASK, MODEL, {"checkpoint_run_id": "first"}), store, NullTracker())
    second = _curve(tmp_path / "second", weights=values["weights"])
    assert second[0] < first[0]
    assert second[-1] < first[-1]


def test_the_run_of_one_trial_names_that_trial_and_the_run_of_the_job_its_best(tmp_path):
    store = JobStore(tmp_path / "jobs")
    job, _ = store.open("fingerprint", "first", {})
    for number, metric in enumerate((0.9, 0.5, 0.7)):
        folder = job.folder / str(number)
        folder.mkdir()
        write_json(folder / "tracking.json", {"run_id": f"run{number}"})
        write_json(folder / "trial.json", {"model_name": MODEL})
        write_json(folder / "result.json", {"primary_metric": metric})
        if number != 2:
            (folder / "best.safetensors").touch()

    def weights(run):
        values = resolve(TASK, MODEL, {"checkpoint_run_id": run})
        return with_checkpoint(MODEL, values, store, NullTracker())["weights"]

    assert weights("run1") == str(job.folder / "1/best.safetensors")
    assert weights("first") == str(job.folder / "0/best.safetensors")
    with pytest.raises(SettingsError, match="2 holds no weights"):
        weights("run2")
    job.choose(1)  # AutoMode's default recipe, of which the winner was not surely better
    assert weights("first") == str(job.folder / "1/best.safetensors")


def _folder(tmp_path, model_name):
    folder = tmp_path / "model"
    folder.mkdir()
    write_json(folder / "settings.json", {"model_name": model_name, "classes": ["a"]})
    (folder / "model.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"checkpoint_run_id": "nobody"}, "'nobody' is neither a job"),
        (
            {"checkpoint_dataset_id": "azureml:x:1", "checkpoint_filename": "m"},
            "neither a folder nor a registered model",
        ),
        ({"checkpoint_dataset_id": "{folder}", "checkpoint_filename": "other.pt"}, "which holds model.safetensors"),
        ({"checkpoint_dataset_id": "{folder}", "checkpoint_filename": "model.safetensors"}, "is of the model resnet18"),
    ],
)
def test_mistakes_are_named(tmp_path, given, message):
    folder = _folder(tmp_path, "resnet18")
    values = {name: value.format(folder=folder) for name, value in given.items()}
    with pytest.raises(SettingsError, match=message):
        with_checkpoint(MODEL, resolve(TASK, MODEL, values), JobStore(tmp_path / "jobs"), NullTracker())


def test_a_folder_and_a_file_name_a_checkpoint(tmp_path):
    folder = _folder(tmp_path, MODEL)
    given = {"checkpoint_dataset_id": str(folder), "checkpoint_filename": "model.safetensors"}
    values = with_checkpoint(MODEL, resolve(TASK, MODEL, given), JobStore(tmp_path / "jobs"), NullTracker())
    assert values["weights"] == str(folder / "model.safetensors")


def test_a_model_of_a_folder_may_have_moved_since(tmp_path):
    folder = _folder(tmp_path, "models/vit")
    given = {"checkpoint_dataset_id": str(folder), "checkpoint_filename": "model.safetensors"}
    values = resolve(TASK, MODEL, given)
    found = with_checkpoint("./elsewhere/vit", values, JobStore(tmp_path / "jobs"), NullTracker())
    assert found["weights"] == str(folder / "model.safetensors")
    with pytest.raises(SettingsError, match="is of the model models/vit"):
        with_checkpoint(MODEL, values, JobStore(tmp_path / "jobs"), NullTracker())


def test_one_half_of_a_checkpoint_is_an_error():
    with pytest.raises(SettingsError, match="give both or neither"):
        resolve(TASK, MODEL, {"checkpoint_filename": "m"})
