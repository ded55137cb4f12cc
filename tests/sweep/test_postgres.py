"""Sweeps on a PostgreSQL server of their own: the study there, restarts and outages in the middle."""

import getpass
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from at_once import open_at_once
from fake_trials import sweep

from automl_images.core.errors import JobError
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.sweep import patience
from automl_images.sweep.study import JobStudy


class Server:
    """A PostgreSQL server in a folder, run as the user `postgres` when we are root (it refuses root)."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        self.data = folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql+pg8000://postgres@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync")
        self.start()

    def _run(self, program, *arguments):
        user = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
        command = [*user, str(Path(self.programs) / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def execute(self, statement):
        self._run("psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-c", statement)

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")


@pytest.fixture(scope="module")
def server():
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    programs = next((Path(path).resolve().parent for path in found if path), None)
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="automl-images-postgres-"))
    if getpass.getuser() == "root":
        shutil.chown(folder, "postgres")
    server = Server(programs, folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


def study(folder, server, name):
    return JobStudy(folder, name, server.url)


def test_a_sweep_keeps_its_study_on_the_server_and_goes_on_there(server, tmp_path):
    configurations = [{"score": 0.1}, {"score": 0.3}, {"score": 0.2}]
    sweep(tmp_path, configurations, study=study(tmp_path, server, "plain"), trials=2).run()
    outcomes = sweep(tmp_path, configurations, study=study(tmp_path, server, "plain")).run()
    assert [o.score for o in outcomes] == pytest.approx([0.2, 0.6, 0.4])
    assert [asked.configuration for asked in study(tmp_path, server, "plain").asked()] == configurations
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize("seconds", [0, 6, pytest.param(60, marks=pytest.mark.slow)])
def test_an_outage_in_the_middle_costs_no_trial(server, tmp_path, seconds):
    """F15: the server is gone for a while; trials go on by themselves, the controller waits and then catches up."""
    outage = (
        f"import time; from pathlib import Path; p = Path({str(tmp_path / '1')!r})\n"
        "while not (p / 'events.jsonl').exists(): time.sleep(0.05)\n"
    )
    waiter = subprocess.Popen([sys.executable, "-c", outage])
    controller = sweep(
        tmp_path,
        [{"score": 0.1, "epochs": 4, "sleep": 0.5}] * 4,
        study=study(tmp_path, server, f"outage{seconds}"),
    )

    def interrupt():
        waiter.wait(timeout=60)
        server.stop()
        time.sleep(seconds)
        server.start()

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcomes = controller.run()
    thread.join()
    assert [(o.number, o.status, o.score) for o in outcomes] == [(n, "Completed", 0.4) for n in range(4)]
    again = study(tmp_path, server, f"outage{seconds}")
    assert len(again.asked()) == 4
    assert not again.unfinished()


def wait_for(path, seconds=60):
    """Wait until a file is there, and tell whether it came."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.exists()


def test_a_server_away_for_good_ends_the_sweep_after_one_wait_and_it_goes_on_later(
    server, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(patience, "PATIENCE", 6.0)
    monkeypatch.setattr("automl_images.sweep.holder.BEAT_SECONDS", 0.5)
    configurations = [{"score": 0.1, "epochs": 20, "sleep": 0.5}]
    controller = sweep(tmp_path, configurations, study=study(tmp_path, server, "gone"))

    def leave():
        wait_for(tmp_path / "0/state")
        server.stop()

    thread = threading.Thread(target=leave)
    thread.start()
    with pytest.raises(JobError, match="gave no answer for 6 seconds"):
        controller.run()
    thread.join()
    server.start()
    assert caplog.text.count("trying again in 0.5 seconds") == 1
    assert [o.status for o in sweep(tmp_path, configurations, study=study(tmp_path, server, "gone")).run()] == [
        "Completed"
    ]


def test_the_time_limit_holds_while_the_server_is_silent(server, tmp_path):
    configurations = [{"score": 0.1, "epochs": 500, "sleep": 0.5}]
    controller = sweep(tmp_path, configurations, study=study(tmp_path, server, "silent"), seconds=5)
    ended = []

    def interrupt():
        wait_for(tmp_path / "0/state")
        server.stop()
        ended.append(wait_for(tmp_path / "0/result.json", 30))
        server.start()

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcomes = controller.run()
    thread.join()
    assert ended == [True]
    assert [(o.status, o.note) for o in outcomes] == [("Canceled", "timeout_minutes reached")]


HOLDER = """
import sys, time
from pathlib import Path
from automl_images.sweep.study import JobStudy
study = JobStudy(Path(sys.argv[1]), "held", sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_controller_is_told_who_holds_the_study(server, tmp_path):
    """F9 across folders: the lock of the job's folder does not see a controller of another checkout."""
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), server.url], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    with pytest.raises(JobError, match=f"process {first.pid} on"):
        study(tmp_path, server, "held")
    first.send_signal(signal.SIGKILL)
    first.wait()
    study(tmp_path, server, "held").close()


def test_several_controllers_may_first_use_an_empty_database_at_the_same_moment(server, tmp_path):
    for name in ("empty0", "empty1"):
        server.execute(f"CREATE DATABASE {name}")
    urls = [server.url.removesuffix("postgres") + name for name in ("empty0", "empty1")]
    assert open_at_once(tmp_path, urls) == "opened\n" * 6


def test_runs_and_registry_work_on_the_server_too(server, tmp_path):
    """In a database of their own: Optuna and MLflow each keep the version of their tables in `alembic_version`."""
    server.execute("CREATE DATABASE mlflow")
    tracker = MLflowTracker(server.url.removesuffix("postgres") + "mlflow", "tests", tmp_path)
    job = tracker.start_job("calm_otter", "object_detection", {"model_name": "yolov5"}, None)
    trial = tracker.start_trial(job, 0, {"learning_rate": 0.1}, None)
    tracker.log_metrics(trial, {"mean_average_precision": 0.5}, 1)
    tracker.end(trial, "Completed")
    tracker.end(job, "Completed")
    assert tracker._client.get_run(trial).data.metrics["mean_average_precision"] == 0.5


def test_an_outage_of_the_servers_database_of_runs_loses_no_number(server, tmp_path):
    """F18 in the environment `postgres`: MLflow calls a connection that is refused a bad request."""
    server.execute("CREATE DATABASE mlflow_outage")
    tracker = MLflowTracker(server.url.removesuffix("postgres") + "mlflow_outage", "tests", tmp_path)
    job = tracker.start_job("calm_otter", "object_detection", {}, None)
    tracker.log_metrics(job, {"m": 0.1}, 1)
    server.stop()
    again = threading.Timer(2, server.start)
    again.start()
    tracker.log_metrics(job, {"m": 0.2}, 2)
    again.join()
    assert [metric.value for metric in tracker._client.get_metric_history(job, "m")] == [0.1, 0.2]
    tracker.end(job, "Completed")
