"""The study's file: locked, torn, foreign, held."""

import os
import platform
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest
from fake_trials import sweep
from sqlalchemy.exc import IntegrityError, OperationalError

from automl_images.core.errors import BusyError, Interrupted, JobError
from automl_images.sweep import holder, patience
from automl_images.sweep.holder import Holder
from automl_images.sweep.patience import Patience
from automl_images.sweep.study import STUDY_FILE, JobStudy, ended_trials


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_locked_study_is_waited_for(tmp_path, seconds):
    """F19: another program holds a write lock on the file for a while."""
    study = JobStudy(tmp_path, "job", None)
    study.ask(lambda trial: {"score": 0.1})
    other = sqlite3.connect(tmp_path / STUDY_FILE, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(seconds, other.rollback)
    release.start()
    begun = time.monotonic()
    study.report(0, 1, 0.5)
    assert time.monotonic() - begun > seconds - 1
    release.join()
    other.close()
    study.tell(0, "Completed", 0.5, "")
    assert not study.unfinished()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / STUDY_FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(JobError, match=f"{STUDY_FILE} cannot be used"):
        JobStudy(tmp_path, "job", None)
    assert (tmp_path / STUDY_FILE).read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("times", [3])
def test_a_controller_that_dies_while_it_writes_leaves_a_readable_study(tmp_path, times):
    """F19: SIGKILL in the middle of writes; SQLite's write-ahead log is replayed."""
    program = (
        "import sys; from pathlib import Path; from automl_images.sweep.study import JobStudy\n"
        "study = JobStudy(Path(sys.argv[1]), 'job', None)\n"
        "print('open', flush=True)\n"
        "while True:\n"
        "    asked = study.ask(lambda trial: {'x': trial.suggest_float('x', 0, 1)})\n"
        "    study.tell(asked.number, 'Completed', 0.5, '')\n"
    )
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ}
        )
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        study = JobStudy(tmp_path, "job", None)
        asked = study.asked()
        assert [trial.number for trial in asked] == list(range(len(asked)))
        assert len(study.unfinished()) <= 1 + times
        study.close()
    assert len(asked) > times


def test_closing_a_trial_twice_changes_nothing(tmp_path):
    study = JobStudy(tmp_path, "job", None)
    study.ask(lambda trial: {})
    study.tell(0, "Completed", 0.5, "")
    study.tell(0, "Failed", None, "later")
    assert study._study.trials[0].value == 0.5


def test_nan_is_no_report_and_a_repeated_epoch_counts_once(tmp_path):
    study = JobStudy(tmp_path, "job", None)
    study.ask(lambda trial: {})
    for epoch, value in [(1, 0.1), (2, float("nan")), (3, 0.3), (3, 0.9)]:
        study.report(0, epoch, value)
    assert study._study.trials[0].intermediate_values == {1: 0.1, 3: 0.3}


def test_an_unreachable_server_is_an_error_without_the_password(monkeypatch, tmp_path):
    monkeypatch.setattr("automl_images.sweep.patience.OPENING_PATIENCE", 1.0)
    monkeypatch.setenv("SECRET", "canary")
    with pytest.raises(JobError, match="gave no answer") as caught:
        JobStudy(tmp_path, "job", "postgresql+pg8000://me:$SECRET@127.0.0.1:1/x")
    assert "canary" not in str(caught.value)


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    calls = []

    def fails():
        calls.append(1)
        raise OperationalError("select", {}, Exception("gone"))

    with pytest.raises(JobError, match=r"The database gave no answer for 0 seconds: .*gone"):
        Patience("the database")(fails, 0.2)
    assert len(calls) > 2


def test_the_user_is_heeded_while_a_database_is_silent(monkeypatch):
    monkeypatch.setattr(patience, "LOOK_UP_SECONDS", 0.01)
    heard = []

    def stop():
        heard.append(1)
        if len(heard) == 3:
            raise Interrupted("enough")

    def fails():
        raise OperationalError("select", {}, Exception("gone"))

    with pytest.raises(Interrupted), patience.meanwhile(stop):
        Patience("the database")(fails)
    assert len(heard) == 3
    with pytest.raises(IntegrityError):  # a refusal, which no waiting changes
        Patience("the database")(lambda: raising(IntegrityError("insert", {}, Exception("twice"))))


def raising(error):
    raise error


def test_a_study_that_vanished_is_noticed(tmp_path):
    """The folders hold trials that the new, empty study would number again."""
    sweep(tmp_path, [{"score": 0.2}]).run()
    for path in tmp_path.glob("study.db*"):
        path.unlink()
    with pytest.raises(JobError, match="another configuration"):
        sweep(tmp_path, [{"score": 0.3}]).run()


def test_a_holder_whose_number_another_process_has_now_does_not_hold(tmp_path):
    study = JobStudy(tmp_path, "job", None)
    left = {"name": "process 1 on here", "host": platform.node(), "process": 1, "started": 12.5, "count": 3}
    study._study.set_user_attr("holder", left)
    JobStudy(tmp_path, "job", None).close()
    alive = psutil.Process(os.getppid())
    study._study.set_user_attr("holder", {**left, "process": alive.pid, "started": alive.create_time()})
    with pytest.raises(JobError, match="being run by process 1"):
        JobStudy(tmp_path, "job", None)


def machine(monkeypatch, name):
    """Let this process be one of another machine from now on."""
    monkeypatch.setattr(holder.platform, "node", lambda: name)


def test_who_was_silent_while_another_took_over_gives_way_and_takes_nothing_back(tmp_path, monkeypatch):
    monkeypatch.setattr(holder, "BEAT_SECONDS", 0.05)
    machine(monkeypatch, "a")
    silent = JobStudy(tmp_path, "job", None)
    machine(monkeypatch, "b")
    other = JobStudy(tmp_path, "job", None)  # "a" does not beat for three beats
    time.sleep(0.1)
    with pytest.raises(BusyError, match=r"taken over by process .* on b"):
        silent.beat()
    silent.close()
    other.beat()


def test_of_two_that_begin_at_the_same_moment_one_holds(tmp_path, monkeypatch):
    """Both look while nobody holds; the later one's name stands there when the earlier looks again."""
    machine(monkeypatch, "a")
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = JobStudy(tmp_path, "job", url)
    study.close()
    found = []

    def other_begins(_):
        monkeypatch.setattr(holder.time, "sleep", lambda _: None)
        machine(monkeypatch, "b")
        found.append(Holder(study._study, "job", study._patiently, is_shared=True))

    monkeypatch.setattr(holder.time, "sleep", other_begins)
    monkeypatch.setattr(Holder, "_is_alive", lambda *_: False)
    with pytest.raises(BusyError, match=r"taken over by process .* on b"):
        Holder(study._study, "job", study._patiently, is_shared=True)
    found[0].beat()


def test_which_trials_ended_is_known_without_holding_the_study(tmp_path):
    assert ended_trials(tmp_path, "job", None) == []
    assert not list(tmp_path.iterdir())
    study = JobStudy(tmp_path, "job", None)
    for status, value in (("Completed", 0.5), ("Failed", None), ("Canceled", 0.2)):
        study.tell(study.ask(lambda trial: {}).number, status, value, "")
    study.ask(lambda trial: {})
    assert ended_trials(tmp_path, "job", None) == [True, True, True, False]
    assert ended_trials(tmp_path, "another", None) == []
    study.beat()
    study.close()
