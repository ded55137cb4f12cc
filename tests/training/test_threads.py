import os
import subprocess
import sys

import pytest

from automl_images.training.threads import (
    CORES_VARIABLE,
    available_cores,
    cores_per_trial,
    environment_for_trial,
    plan_threads,
    plan_workers,
    trials_at_once,
)


def test_a_share_from_the_parent_wins(monkeypatch):
    monkeypatch.delenv(CORES_VARIABLE, raising=False)
    mine = available_cores()
    assert 1 <= mine <= (os.cpu_count() or 1)
    for name, value in environment_for_trial(3).items():
        monkeypatch.setenv(name, value)
    assert available_cores() == 3
    monkeypatch.setenv(CORES_VARIABLE, "many")
    assert available_cores() == mine


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 7, 16, 64])
@pytest.mark.parametrize("trials", [1, 2, 5])
def test_processes_times_threads_never_exceed_the_cores(cores, trials, monkeypatch):
    monkeypatch.setenv(CORES_VARIABLE, str(cores))
    share = cores_per_trial(trials)
    workers = plan_workers(share, has_accelerator=False)
    threads = plan_threads(trials, workers)
    assert threads >= 1
    if trials <= cores:
        assert trials * (threads + workers) <= cores


@pytest.mark.parametrize(
    ("asked", "trials", "devices", "expected"),
    [(10, 20, 0, 4), (3, 20, 0, 3), (10, 2, 0, 2), (10, 20, 1, 10), (8, 3, 2, 3), (1, 0, 0, 1)],
)
def test_without_an_accelerator_no_more_trials_run_at_once_than_there_are_cores(
    asked, trials, devices, expected, monkeypatch
):
    monkeypatch.setenv(CORES_VARIABLE, "4")
    assert trials_at_once(asked, trials, devices) == expected


def test_workers():
    assert [plan_workers(cores, False) for cores in (1, 2, 4, 16, 64)] == [0, 0, 1, 4, 8]
    assert [plan_workers(cores, True) for cores in (1, 2, 4, 16)] == [0, 1, 3, 8]


def test_a_trial_gets_passive_waiting_and_its_number_of_threads():
    environment = {**os.environ, **environment_for_trial(1)}
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    code = "import os; from automl_images.training import threads; print(threads.available_cores(), os.environ['OMP_NUM_THREADS'])"
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.split() == ["1", "1"]
