"""MLflow for real, on SQLite in a temporary folder."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.request

import onnx
import pytest
import requests
from mlflow.exceptions import BAD_REQUEST, MlflowException, RestException
from onnx import TensorProto, helper
from sqlalchemy.exc import InterfaceError

from automl_images.core.errors import DiskFullError, JobError
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.integrations.mlflow_store import is_outage
from automl_images.sweep import patience


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return MLflowTracker("sqlite:///store/mlflow.db", "tests", tmp_path_factory.mktemp("project"))


@pytest.fixture
def model_folder(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "model.onnx"
    )
    (tmp_path / "labels.json").write_text('["a"]')
    return tmp_path


def test_a_job_with_nested_trials_is_recorded(tracker, capfd):
    job = tracker.start_job("calm_otter", "object_detection", {"model_name": "yolov5"}, None)
    trial = tracker.start_trial(job, 0, {"learning_rate": 0.1}, None)
    tracker.log_metrics(trial, {"mean_average_precision": 0.5, "AP @[ IoU=0.50 ]": 0.4}, 1)
    tracker.log_metrics(trial, {"mean_average_precision": 0.6}, 2)
    tracker.tag(trial, {"score": 0.6, "run_algorithm": "yolov5", "unknown": None})
    tracker.end(trial, "Completed")
    tracker.end(job, "Canceled")
    runs = {run.info.run_id: run for run in tracker._client.search_runs([tracker._experiment_id])}
    assert runs[trial].data.tags["mlflow.parentRunId"] == job
    assert (runs[trial].data.tags["score"], runs[trial].data.tags["run_algorithm"]) == ("0.6", "yolov5")
    assert "unknown" not in runs[trial].data.tags
    assert runs[trial].data.params == {"learning_rate": "0.1"}
    assert runs[trial].data.metrics["mean_average_precision"] == 0.6
    assert runs[trial].data.metrics["system/cpu_utilization_percentage"] >= 0
    assert (runs[trial].info.status, runs[job].info.status) == ("FINISHED", "KILLED")
    history = tracker._client.get_metric_history(trial, "mean_average_precision")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.6)]
    assert tracker.start_job("calm_otter", "object_detection", {}, job) == job
    assert tracker._client.get_run(job).info.status == "RUNNING"
    assert "system_metrics" not in "".join(capfd.readouterr())  # nothing of what MLflow says of its threads


def test_the_same_numbers_of_the_same_time_count_once(tracker):
    job = tracker.start_job("twice", "object_detection", {}, None)
    for _ in range(2):
        tracker.log_metrics(job, {"m": 0.5}, 1, at=1_700_000_000.25)
    assert [m.timestamp for m in tracker._client.get_metric_history(job, "m")] == [1_700_000_000_250]
    tracker.end(job, "Completed")


@pytest.mark.slow
def test_two_runs_may_make_the_store_at_once(tmp_path):
    program = (
        "import sys, pathlib; from automl_images.integrations.mlflow import MLflowTracker;"
        "print(MLflowTracker('sqlite:///mlflow.db', 'tests', pathlib.Path(sys.argv[1])).start_job('j', 't', {}, None))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [(run.communicate()[1][-500:], run.returncode) for run in runs] == [("", 0)] * 3


def test_a_registered_model_holds_all_files_and_the_champion_moves_on_demand(tracker, model_folder):
    job = tracker.start_job("keen_crane", "object_detection", {}, None)
    assert tracker.champion("m") is None
    first = tracker.register_model(job, model_folder, "m", {"validation_hash": "abc"})
    assert tracker.champion("m") is None
    tracker.set_champion("m", first)
    second = tracker.register_model(job, model_folder, "m", {"validation_hash": "def"})
    assert (first, second) == ("1", "2")
    assert tracker.champion("m") == {"validation_hash": "abc", "version": "1"}
    names = {item.path for item in tracker._client.list_artifacts(job, "model")}
    assert {"model/MLmodel", "model/model.onnx", "model/labels.json"} <= names


def test_the_store_lies_where_the_project_is(tracker):
    assert tracker.uri.startswith("sqlite:////")
    assert tracker.uri.endswith("/store/mlflow.db")


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (caused(MlflowException("x", BAD_REQUEST), InterfaceError("select", {}, Exception("no network"))), True),
        (caused(MlflowException("x"), requests.ConnectionError()), True),
        (MlflowException("API request to endpoint /a failed with error code 503 != 200"), True),
        (MlflowException("API request to endpoint /a failed with error code 413 != 200"), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "its database is away"}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}), False),
        (requests.HTTPError(response=types.SimpleNamespace(status_code=503)), True),
        (requests.HTTPError(response=types.SimpleNamespace(status_code=403)), False),
        (ValueError("x"), False),
    ],
)
def test_what_passes_is_told_from_what_does_not(error, expected):
    """The first is how MLflow tells that PostgreSQL does not answer."""
    assert is_outage(error) is expected


def test_what_came_through_without_an_answer_is_not_made_again(tracker, monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    client = tracker._client._client
    create, answers = client.create_run, iter([requests.ConnectionError, None])

    def silent_at_first(*args, **options):
        run = create(*args, **options)
        if error := next(answers):
            raise error
        return run

    monkeypatch.setattr(client, "create_run", silent_at_first)
    job = tracker.start_job("lost_answer", "object_detection", {}, None)
    found = tracker._client.search_runs([tracker._experiment_id], "tags.job = 'lost_answer'")
    assert [run.info.run_id for run in found] == [job]
    tracker.end(job, "Completed")


def test_a_store_whose_maker_is_killed_is_made_anew(tmp_path):
    """F4: MLflow makes its tables one after another, and cannot open what has half of them."""
    make = (
        "import pathlib, sys; from automl_images.integrations.mlflow import MLflowTracker;"
        "MLflowTracker('sqlite:///mlflow.db', 'tests', pathlib.Path(sys.argv[1])).champion('m')"
    )
    command = [sys.executable, "-c", make, str(tmp_path)]
    environment = {**os.environ, "AUTOML_IMAGES_FAILPOINT": "write:mlflow.db:kill"}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    subprocess.run(command, check=True)
    assert not list(tmp_path.glob(".tmp-*"))
    assert MLflowTracker("sqlite:///mlflow.db", "tests", tmp_path).start_job("calm_otter", "t", {}, None)


def start_and_die(root, name):
    """Start a job and its first trial in another process, which dies when it has created the run of this name."""
    program = (
        "import sys, pathlib; from automl_images.integrations.mlflow import MLflowTracker;"
        "tracker = MLflowTracker('sqlite:///store/mlflow.db', 'tests', pathlib.Path(sys.argv[1]));"
        "job = tracker.start_job('brave_heron', 'object_detection', {'model_name': 'yolov5'}, None, 1700000000.25);"
        "tracker.start_trial(job, 0, {'learning_rate': 0.1}, None)"
    )
    environment = {**os.environ, "AUTOML_IMAGES_FAILPOINT": f"tracking:created:{name}:kill"}
    died = subprocess.run([sys.executable, "-c", program, str(root)], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL


def test_a_run_that_a_process_created_and_did_not_live_to_note_is_gone_on_with(tracker):
    start_and_die(tracker.root, "brave_heron")
    job = tracker.start_job("brave_heron", "object_detection", {"model_name": "yolov5"}, None, 1700000000.25)
    start_and_die(tracker.root, "trial_0")
    trial = tracker.start_trial(job, 0, {"learning_rate": 0.1}, None)
    other_trial = tracker.start_trial(job, 1, {}, None)
    namesake = tracker.start_job("brave_heron", "object_detection", {}, None, 1700000001.25)
    assert tracker.start_job("brave_heron", "object_detection", {}, None) not in {job, namesake}
    runs = {run.info.run_id: run for run in tracker._client.search_runs([tracker._experiment_id])}
    nested = [run for run in runs.values() if run.data.tags.get("mlflow.parentRunId") == job]
    assert sorted(run.info.run_name for run in nested) == ["trial_0", "trial_1"]
    assert len([run for run in runs.values() if run.data.tags.get("job") == "brave_heron"]) == 3
    assert runs[job].data.params == {"model_name": "yolov5"}
    assert runs[trial].data.params == {"learning_rate": "0.1"}
    assert other_trial != trial


def test_what_goes_on_without_its_run_gets_another(tracker, caplog):
    """Somebody deleted it, or the store is another one."""
    task, created = "object_detection", 1700000002.25
    job = tracker.start_job("lost_lark", task, {"model_name": "yolov5"}, None, created)
    trials = [tracker.start_trial(job, number, {"number": number}, None) for number in range(2)]
    tracker.end(job, "Canceled")
    for run in (job, trials[0]):
        tracker._client.delete_run(run)
    assert [tracker.has_run(run) for run in (job, *trials, "0" * 32)] == [False, False, True, False]
    again = tracker.start_job("lost_lark", task, {"model_name": "yolov5"}, job, created)
    found = [tracker.start_trial(again, number, {"number": number}, run) for number, run in enumerate(trials)]
    assert again != job
    assert (found[0] == trials[0], found[1] == trials[1]) == (False, True)
    assert f"has no run {job} (any more): lost_lark goes on in a new one." in caplog.text
    tracker.log_metrics(found[0], {"m": 0.5}, 1)
    tracker.end(again, "Completed")
    runs = [tracker._client.get_run(run) for run in (again, *found)]
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "KILLED"]
    assert [run.data.tags["mlflow.parentRunId"] for run in runs[1:]] == [again, again]
    assert [run.data.params for run in runs[:2]] == [{"model_name": "yolov5"}, {"number": "0"}]


def test_a_store_that_is_begun_on_a_full_disk_is_begun_anew(tmp_path):
    """F7: half of MLflow's tables would be a file that it can never open again."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(2_700_000))
        with pytest.raises(DiskFullError, match=r"mlflow\.db cannot be written"):
            MLflowTracker("sqlite:///mlflow.db", "tests", tmp_path).champion("m")
        filler.unlink()
        program = (
            "import sys, pathlib; from automl_images.integrations.mlflow import MLflowTracker;"
            "print(MLflowTracker('sqlite:///mlflow.db', 'tests', pathlib.Path(sys.argv[1])).champion('m'))"
        )
        again = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
        assert again.stdout == "None\n", again.stderr
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture
def server(tmp_path):
    """MLflow's own server; calling it starts it, `stop` ends it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", str(tmp_path / "a")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *places]
    running = []

    def start():
        running.append(subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return f"http://127.0.0.1:{port}"
            time.sleep(0.2)
        raise AssertionError("the server did not start")

    def stop():
        os.killpg(running.pop().pid, signal.SIGKILL)

    start.stop = stop
    yield start
    if running:
        stop()


@pytest.mark.slow
def test_an_outage_of_the_server_loses_no_number(server, tmp_path, monkeypatch, caplog):
    """F18: whoever asks waits, and what happened meanwhile is recorded afterwards."""
    tracker = MLflowTracker(server(), "tests", tmp_path)
    job = tracker.start_job("calm_otter", "object_detection", {}, None)
    trial = tracker.start_trial(job, 0, {}, None)
    tracker.log_metrics(trial, {"m": 0.1}, 1)
    server.stop()
    waiting = threading.Thread(target=tracker.log_metrics, args=(trial, {"m": 0.2}, 2))
    waiting.start()
    time.sleep(3)
    assert waiting.is_alive()
    server()
    waiting.join(timeout=60)
    assert "does not answer" in caplog.text
    assert [m.value for m in tracker._client.get_metric_history(trial, "m")] == [0.1, 0.2]
    monkeypatch.setattr(patience, "PATIENCE", 1.0)
    server.stop()
    with pytest.raises(JobError, match=r"MLflow's store http.* gave no answer for 1 seconds"):
        tracker.log_metrics(trial, {"m": 0.3}, 3)
