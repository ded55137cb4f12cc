"""A sweep of real trials through the user's command, killed where it hurts; the same command then makes it whole.

The invariants are those of docs/reliability.md: one clear line and exit code, no partial file, no trial lost or counted
twice, the metrics of an undisturbed run, no run left running, exactly one registered version, no process left behind.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TASK = "image_classification"
SPACE = [{"model_name": "efficientnet_lite0", "learning_rate": {"type": "choice", "values": [0.001, 0.003]}}]
SIZES = {"training_crop_size": 32, "validation_crop_size": 32, "validation_resize_size": 40, "training_batch_size": 32}
SMALL = {**SIZES, "model_name": None, "number_of_workers": 0}


@pytest.fixture
def project(tmp_path):
    """A folder with a configuration of a small sweep, for the data root too."""
    return made(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The metrics of each trial of a run that nothing disturbed."""
    project = made(tmp_path_factory.mktemp("undisturbed"))
    code, output = finish(project)
    assert code == 0, output
    return metrics_of(project)


def made(folder):
    subprocess.run(["cp", "-r", str(ROOT / "conf"), str(folder / "conf")], check=True)
    configure(folder)
    return folder


def metrics_of(project):
    results = (project / "data").rglob("trials/*/*/result.json")
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in results}


@pytest.fixture
def small_project(project):
    """The same with a single trial of one epoch."""
    configure(project, max_trials=1, number_of_epochs=1)
    return project


def configure(project, number_of_epochs=2, **limits):
    """Write the configuration of a sweep of two trials, unless `limits` say otherwise."""
    parameters = {
        "limits": {"max_trials": 2, **limits},
        "search_space": SPACE,
        "sweep": {"sampling_algorithm": "grid"},
        "training_parameters": {**SMALL, "number_of_epochs": number_of_epochs},
    }
    path = project / "conf/test/parameters_image_classification.yml"
    path.write_text(json.dumps({TASK: parameters}))


def heed_ctrl_c():
    """Undo what a shell does to what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(project, failpoint=None, job_name="night", arguments=()):
    params = f"data_root={project}/data,job_name={job_name}"
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={TASK}", "--env=test", "--params", params]
    variables = {"AUTOML_IMAGES_FAILPOINT": failpoint} if failpoint else {}
    return subprocess.Popen(
        [*command, "--conf-source", str(project / "conf"), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **variables},
        start_new_session=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509  (there are no threads)
    )


def finish(project, **variables):
    process = start(project, **variables)
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


def client_of(project):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{project}/data/mlflow.db")


def statuses(project):
    """Return the status of each of MLflow's runs by name, of which there is one each, and of the job."""
    client = client_of(project)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    found = {run.info.run_name: run.info.status for run in runs}
    assert len(found) == len(runs)
    [record] = (project / "data/06_models" / TASK / "trials").glob("*/job.json")
    return {**found, "job": json.loads(record.read_text())["status"]}


def assert_whole(project, output, undisturbed):
    """Assert the invariants of a run that was made whole."""
    data = project / "data"
    with (data / "07_model_output" / TASK / "trials.csv").open(newline="") as stream:
        trials = list(csv.DictReader(stream))
    assert [(t["trial"], t["status"], t["epochs"]) for t in trials] == [
        ("0", "Completed", "2"),
        ("1", "Completed", "2"),
    ]
    assert {t["learning_rate"] for t in trials} == {"0.001", "0.003"}
    assert metrics_of(project) == undisturbed
    assert not list(data.rglob(".tmp-*"))
    assert "version 1, now the champion" in output
    assert statuses(project) == {"night": "FINISHED", "trial_0": "FINISHED", "trial_1": "FINISHED", "job": "Completed"}
    assert len(client_of(project).search_model_versions("")) == 1
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(project) in " ".join(p.info["cmdline"] or [])]


def wait_for_epoch(project):
    """Wait until the first trial has told of its first epoch."""
    log = project / "data/06_models" / TASK / "trials/night/0/events.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and '"event": "epoch"' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)


def epochs_told(project, trial, job_name="night"):
    path = project / "data/06_models" / TASK / "trials" / job_name / str(trial) / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [e["epoch"] for e in events if e["event"] == "epoch"]


@pytest.mark.parametrize(
    "place",
    [
        "write:model.onnx",  # F3: while the ONNX model is written
        pytest.param(f"node:export.{TASK}.export_model", marks=pytest.mark.slow),  # F4: between nodes
        "write:trials.csv",  # F4: in a node's save
    ],
)
def test_a_run_that_is_killed_is_made_whole_by_the_same_command(project, place, undisturbed):
    code, _ = finish(project, failpoint=f"{place}:kill")
    assert code == -signal.SIGKILL
    assert not (project / "data/06_models" / TASK / "registered_model.json").exists()
    code, output = finish(project)
    assert code == 0, output
    assert_whole(project, output, undisturbed)
    assert epochs_told(project, 0) == epochs_told(project, 1) == [1, 2]


def test_a_power_cut_in_the_middle_of_training_costs_the_steps_since_the_last_checkpoint(project, undisturbed):
    """F1, F5 and I4: controller and trial are gone at once; the second run trains on and comes to the same metrics."""
    process = start(project)
    wait_for_epoch(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(epochs_told(project, 0)) == 1
    code, output = finish(project)
    assert code == 0, output
    assert_whole(project, output, undisturbed)
    assert sorted(set(epochs_told(project, 0))) == epochs_told(project, 1) == [1, 2]


def test_an_error_after_the_sweep_closes_the_run_and_the_same_command_opens_it_again(small_project):
    code, output = finish(small_project, failpoint=f"node:export.{TASK}.export_model:raise")
    assert code == 1
    assert "the same command goes on" in output
    assert statuses(small_project) == {"night": "FAILED", "trial_0": "FINISHED", "job": "Canceled"}
    code, output = finish(small_project)
    assert code == 0, output
    assert statuses(small_project) == {"night": "FINISHED", "trial_0": "FINISHED", "job": "Completed"}
    assert epochs_told(small_project, 0) == [1]


@pytest.mark.slow
def test_a_signal_after_the_sweep_closes_the_run(small_project):
    """F6: Ctrl-C and SIGTERM, at the end of the sweep and later."""
    for place in (f"node:sweep.{TASK}.run_trials:interrupt", f"node:export.{TASK}.export_model:terminate"):
        code, output = finish(small_project, failpoint=place)
        assert code == 130, output
        assert "Traceback" not in output
        assert statuses(small_project) == {"night": "KILLED", "trial_0": "FINISHED", "job": "Canceled"}


@pytest.mark.slow
def test_a_job_that_is_run_in_parts_has_no_run_open_between_them(small_project):
    code, output = finish(small_project, arguments=["--tags=data_conversion,validation_split,augmentation,sweep"])
    assert code == 0, output
    assert statuses(small_project) == {"night": "FINISHED", "trial_0": "FINISHED", "job": "Running"}
    rest = ["--tags=model_selection,export,evaluation,registration"]
    code, output = finish(small_project, failpoint=f"node:export.{TASK}.export_model:raise", arguments=rest)
    assert code == 1
    assert statuses(small_project) == {"night": "FAILED", "trial_0": "FINISHED", "job": "Canceled"}
    code, output = finish(small_project, arguments=rest)
    assert code == 0, output
    assert statuses(small_project) == {"night": "FINISHED", "trial_0": "FINISHED", "job": "Completed"}


@pytest.mark.slow
def test_an_error_of_the_controller_closes_the_runs_of_trials_that_run(project, monkeypatch):
    monkeypatch.setenv("AUTOML_IMAGES_CORES", "2")
    configure(project, max_concurrent_trials=2)
    code, output = finish(project, failpoint="sweep:before_tell:0:raise")
    assert code == 1, output
    found = statuses(project)
    assert found.pop("trial_1") in {"KILLED", "FINISHED"}  # whichever trial was faster
    assert found == {"night": "FAILED", "trial_0": "FINISHED", "job": "Canceled"}


@pytest.mark.slow
def test_a_run_that_was_created_and_not_noted_is_gone_on_with(small_project):
    until = [f"--to-nodes=sweep.{TASK}.run_trials"]
    for name in ("night", "trial_0"):
        code, output = finish(small_project, failpoint=f"tracking:created:{name}:kill", arguments=until)
        assert code == -signal.SIGKILL, output
    code, output = finish(small_project, arguments=until)
    assert code == 0, output
    assert statuses(small_project) == {"night": "FINISHED", "trial_0": "FINISHED", "job": "Running"}


@pytest.mark.slow
def test_a_job_of_which_nothing_came_begins_anew(project):
    """F5: every trial dies in every attempt; once the cause is gone the same work starts again, under another name."""
    code, output = finish(project, failpoint="training:step:4:kill")
    assert code == 1
    assert "No trial came to a value of accuracy" in output
    assert "SIGKILL" in output
    code, output = finish(project)
    assert code == 1
    assert "Job night failed" in output
    code, output = finish(project, job_name="day")
    assert code == 0, output
    assert epochs_told(project, 0, "day") == epochs_told(project, 1, "day") == [1, 2]


def test_a_trial_that_is_killed_is_tried_again_within_the_run(project, undisturbed):
    """F5: the real process of a trial gets SIGKILL from outside."""
    process = start(project)
    wait_for_epoch(project)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "run_trial" in " ".join(child.cmdline()):
            child.kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert "trying again from its last checkpoint (1 of 2)" in output
    assert_whole(project, output, undisturbed)


def test_a_second_run_of_the_job_is_told_who_holds_it(project, undisturbed):
    """F9: two commands at once on one job."""
    first = start(project)
    deadline = time.monotonic() + 120
    while not list((project / "data/06_models").rglob("events.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    code, output = finish(project)
    assert code == 75
    assert f"is being run by process {first.pid}" in output
    assert "Traceback" not in output
    output, _ = first.communicate(timeout=600)
    assert_whole(project, output, undisturbed)  # nothing disturbed it


@pytest.fixture
def small_disk(project):
    """A disk for the data root, on which sizes in megabytes can be set; only root can make one."""
    data = project / "data"
    data.mkdir()

    def resize(megabytes, option="size"):
        command = ["mount", "-t", "tmpfs", "-o", f"{option}={megabytes}m", "none", str(data)]
        return subprocess.run(command, check=False).returncode

    if resize(1):
        pytest.skip("needs the right to mount a small disk")
    yield lambda megabytes: resize(megabytes, "remount,size")
    subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.mark.parametrize(
    "megabytes", [pytest.param(n, marks=() if n == 45 else pytest.mark.slow) for n in (1, 35, 45, 100)]
)
def test_a_full_disk_costs_nothing_but_time(project, small_disk, megabytes, undisturbed):
    """F7: wherever the disk is full, one line says so, and with room the same command makes the run whole."""
    small_disk(megabytes)
    code, output = finish(project)
    assert "Traceback" not in output
    assert "isk is full" in output, output
    assert code == 74, output
    small_disk(2000)
    code, output = finish(project)
    assert code == 0, output
    assert_whole(project, output, undisturbed)
