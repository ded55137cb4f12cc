"""Never worse than the default, with two trials that were really trained and judged through ONNX."""

import pandas as pd
import pytest

from automl_images.core.hyperparameters import resolve
from automl_images.data.conversion import convert
from automl_images.data.mltable import class_names, read_table, write_table
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import data_hash, split
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.pipelines.model_selection.nodes import load_best_model, select_best_trial
from automl_images.sweep.trials import WEIGHTS, TrialRequest
from automl_images.tasks import get_task
from automl_images.tasks.run_trial import run

TASK, MODEL = "image_classification", "efficientnet_lite0"
SAMPLE = "data/01_raw/sample/folders"
SMALL = {
    "training_crop_size": 64,
    "validation_crop_size": 64,
    "validation_resize_size": 64,
    "training_batch_size": 16,
    "number_of_workers": 0,
    "optimizer": "adamw",
    "number_of_epochs": 1,
    "freeze_batch_norm": False,
    "whole_image": False,
}
GOOD, BAD = 0, 1
RATES = {GOOD: 0.002, BAD: 1e-9}


@pytest.fixture(scope="module")
def job(tmp_path_factory, pytestconfig):
    """Return a job with a trial that learnt and one that learnt nothing, and its validation data."""
    root, task = tmp_path_factory.mktemp("job"), get_task(TASK)
    rows = convert(SourceOptions(path=pytestconfig.rootpath / SAMPLE), task.label_kind).rows
    sides = split(rows, 0.2, 0, task.label_kind)
    write_table(sides.training, root / "training")
    write_table(sides.validation, root / "validation")
    training, validation = read_table(root / "training"), read_table(root / "validation")
    jobs = JobStore(root / "jobs")
    opened, _ = jobs.open("fingerprint", "calm_fox", {})
    for number, rate in RATES.items():
        values = resolve(TASK, MODEL, {**SMALL, "learning_rate": rate})
        request = TrialRequest(
            number=number,
            task=TASK,
            model_name=MODEL,
            hyperparameters=values,
            classes=class_names(rows, task.label_kind),
            training_table=str(training.path),
            validation_table=str(validation.path),
            data_hash=data_hash(training.rows, validation.rows),
            augmentation_plan=task.augmentation_plans({MODEL: values}),
            primary_metric=task.primary_metric,
        )
        folder = opened.folder / str(number)
        folder.mkdir()
        request.save(folder)
        run(folder)
    return jobs, validation


def board(default, winner, **columns):
    """Return the leaderboard in which `winner` is said to be best, with the trial of the default recipe."""
    rows = [
        {
            "job": "calm_fox",
            "trial": number,
            "status": "Completed",
            "model_name": MODEL,
            "accuracy": 0.9 if number == winner else 0.8,
            "best_epoch": 1,
            "epochs": 2,
            "seconds": 1.0,
            "recipe": "default" if number == default else "other",
            **columns,
        }
        for number in RATES
    ]
    return pd.DataFrame(rows)


def select(job, trials):
    jobs, validation = job
    options = JobOptions(task=TASK, source={"path": SAMPLE}, limits={"max_trials": 2})
    return select_best_trial(trials, validation, jobs, options)


def test_the_best_of_many_needs_a_surer_difference(job):
    trials = board(default=BAD, winner=GOOD)
    others = [trials.iloc[[GOOD]].assign(trial=number, accuracy=0.7) for number in range(2, 21)]
    found = select(job, pd.concat([trials, *others]))["comparison"]
    assert (found["challengers"], found["confidence"]) == (20, 0.99)
    assert "99 % interval" in found["sentence"]
    assert "as the best of 20, " in found["sentence"]


def test_a_challenger_that_is_surely_better_wins(job):
    best = select(job, board(default=BAD, winner=GOOD))
    found = best["comparison"]
    assert (best["trial"], found["kept"]) == (GOOD, "challenger")
    assert (found["default_trial"], found["challenger_trial"], found["metric"]) == (BAD, GOOD, "accuracy")
    assert 0 < found["low"] < found["difference"] < found["high"] <= 1
    assert found["confidence"] == 0.9
    assert "Trial 0 (efficientnet_lite0) beats trial 1 (efficientnet_lite0), the default recipe" in found["sentence"]
    assert f"90 % interval {found['low']:.4f} to {found['high']:.4f}" in found["sentence"]
    assert load_best_model(best, job[0]).settings["trial"] == GOOD


@pytest.mark.slow
def test_the_default_is_kept_from_a_challenger_that_only_seemed_better(job):
    best = select(job, board(default=GOOD, winner=BAD))
    found = best["comparison"]
    assert (best["trial"], best["metric"], found["kept"]) == (GOOD, 0.8, "default")
    assert found["difference"] < 0
    assert "Trial 0 (efficientnet_lite0), the default recipe, is kept" in found["sentence"]


@pytest.mark.slow
def test_a_challenger_that_cannot_be_used_loses(job):
    weights = job[0].get("calm_fox").folder / str(GOOD) / WEIGHTS
    content = weights.read_bytes()
    weights.unlink()
    try:
        best = select(job, board(default=BAD, winner=GOOD))
    finally:
        weights.write_bytes(content)
    assert (best["trial"], best["comparison"]["kept"], best["comparison"]["low"]) == (BAD, "default", None)
    assert "trial 0 (efficientnet_lite0) cannot be used: The weights of trial 0" in best["comparison"]["sentence"]


def test_a_default_that_cannot_be_used_is_no_rival(job):
    board_of_deleted = board(default=BAD, winner=GOOD).replace({"trial": {BAD: 7}})
    (job[0].get("calm_fox").folder / "7").mkdir(exist_ok=True)
    best = select(job, board_of_deleted)
    assert (best["trial"], best["comparison"]["kept"], best["comparison"]["difference"]) == (GOOD, "challenger", None)
    assert "kept without a comparison, as trial 7" in best["comparison"]["sentence"]


@pytest.mark.parametrize(("note", "told"), [(float("nan"), ""), ("max_training_minutes reached", None)])
def test_the_note_of_the_best_trial_is_kept_and_an_empty_cell_is_none(job, note, told):
    assert select(job, board(default=GOOD, winner=GOOD, note=note))["note"] == (note if told is None else told)


def test_a_default_that_failed_is_named(job):
    trials = board(default=BAD, winner=GOOD).assign(status=["Completed", "Failed"], note=["", "no memory\nat all"])
    found = select(job, trials)["comparison"]
    assert (found["challenger_trial"], found["default_trial"], found["kept"]) == (GOOD, BAD, "challenger")
    assert found["sentence"].endswith("as trial 1 (efficientnet_lite0), the default recipe, came to nothing: no memory")


@pytest.mark.parametrize(
    "trials",
    [
        board(default=GOOD, winner=GOOD),  # the default is the best
        board(default=None, winner=GOOD),  # it was not tried, as it did not fit into the time
        board(default=BAD, winner=GOOD, recipe=float("nan")),  # as pandas reads the empty column of other jobs
        board(default=BAD, winner=GOOD).drop(columns="recipe"),
    ],
)
def test_without_a_rival_the_best_trial_wins(job, trials):
    best = select(job, trials)
    assert (best["trial"], best["comparison"]) == (GOOD, None)
