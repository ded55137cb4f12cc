"""The whole pipeline on the bundled sample with one tiny epoch, through the commands that a user types."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASK = "object_detection"


def kedro(*arguments, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        check=False,
    )


def run(root, *arguments, **params):
    given = ",".join(f"{key}={value}" for key, value in {"data_root": root, **params}.items())
    return kedro("run", f"--pipeline={TASK}", "--env", "test", "--params", given, *arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    result = run(root, job_name="first")
    assert result.returncode == 0, result.stdout + result.stderr
    return root, result.stdout


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_everything_is_where_the_design_promises(finished):
    root, _ = finished
    best = root / "06_models" / TASK / "best"
    manifest = read(best / "manifest.json")
    for name in ("model.safetensors", "model.onnx", "labels.json", "settings.json"):
        assert manifest["files"][name]["sha256"] == hashlib.sha256((best / name).read_bytes()).hexdigest()
    assert read(best / "labels.json") == ["--bg--", "can", "carton", "milk_bottle", "water_bottle"]
    sides = [
        root / "03_primary" / TASK / f"{side}-mltable" / "annotations.jsonl" for side in ("training", "validation")
    ]
    urls = [{json.loads(line)["image_url"] for line in side.open(encoding="utf-8")} for side in sides]
    assert len(urls[0]) + len(urls[1]) == 128
    assert not urls[0] & urls[1]
    with (root / "07_model_output" / TASK / "trials.csv").open(newline="") as stream:
        [trial] = csv.DictReader(stream)
    assert (trial["trial"], trial["status"], trial["epochs"]) == ("0", "Completed", "1")
    predictions = (root / "07_model_output" / TASK / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(predictions) == len(urls[1])
    assert set(json.loads(predictions[0])) == {"filename", "boxes"}
    assert 0 <= read(root / "08_reporting" / TASK / "metrics.json")["mean_average_precision"] <= 1
    assert read(root / "08_reporting" / TASK / "parity.json")["passed"] is True
    for path in (
        "04_feature/{}/augmentation_plan.yml",
        "04_feature/{}/augmentation_preview.png",
        "08_reporting/{}/report.html",
    ):
        assert (root / path.format(TASK)).stat().st_size > 0
    assert not list(root.rglob(".tmp-*"))


def test_the_run_ends_with_what_came_of_it(finished):
    root, output = finished
    assert "best       fasterrcnn_efficientnet_lite0_fpn (trial 0): mean_average_precision" in output
    assert str(root / "08_reporting" / TASK / "report.html") in output
    assert "version 1, now the champion" in output
    assert read(root / "06_models" / TASK / "trials" / "first" / "job.json")["status"] == "Completed"


def test_the_same_named_job_is_not_trained_again_and_a_stage_can_be_rerun_alone(finished):
    root, _ = finished
    result = run(root, "--namespaces", "sweep", job_name="first")
    assert result.returncode == 0, result.stderr
    assert "Job first: is finished; its trials are kept and not run again." in result.stdout
    assert "epoch 1/1" not in result.stdout
    assert (root / "06_models" / TASK / "trials" / "first" / "0" / "result.json").is_file()


def test_only_missing_outputs_are_made_again(finished):
    root, _ = finished
    report = root / "08_reporting" / TASK / "metrics.json"
    report.unlink()
    result = run(root, "--only-missing-outputs")
    assert result.returncode == 0, result.stderr
    assert report.is_file()
    assert "run_trials" not in result.stdout.replace("sweep.object_detection.run_trials", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--params", "object_detection.limits.max_trial=2"), "Did you mean 'max_trials'"),
        (("--params", "jobname=x"), "Did you mean 'job_name'"),
        (("--params", "object_detection.training_parameters.model_name=yolo5"), "Did you mean 'yolov5'"),
        (("--params", "object_detection.source.path=nowhere.json"), "nowhere.json"),
    ],
)
def test_mistakes_end_in_one_message_without_a_traceback(tmp_path, arguments, message):
    params = f"{arguments[1]},data_root={tmp_path}"
    result = kedro("run", f"--pipelines={TASK}", "--env", "test", "--params", params)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_goes_on_with_the_same_command_and_ends_with_the_same_metric(tmp_path, sign):
    params = {"object_detection.training_parameters.number_of_epochs": 3}
    undisturbed = run(tmp_path / "a", **params)
    assert undisturbed.returncode == 0, undisturbed.stderr
    root = tmp_path / "b"
    given = ",".join(f"{key}={value}" for key, value in {"data_root": root, **params}.items())
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={TASK}", "--env", "test", "--params", given]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    events = root / "06_models" / TASK / "trials"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        logs = list(events.glob("*/0/events.jsonl"))
        if logs and logs[0].read_text().count('"event": "epoch"') >= 1:
            break
        time.sleep(0.1)
    process.send_signal(sign)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (-signal.SIGKILL, 130), output
    again = run(root, **params)
    assert again.returncode == 0, again.stderr
    assert "goes on, it was not finished" in again.stdout
    metrics = [read(side / "08_reporting" / TASK / "metrics.json") for side in (tmp_path / "a", root)]
    assert metrics[0] == metrics[1]
