"""Processes of trials: a spare is started before it is needed, gets its folder, and is ended when nobody needs it."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from automl_images.core.hyperparameters import resolve
from automl_images.sweep import executors
from automl_images.sweep.executors import LocalExecutor, python_command
from automl_images.sweep.trials import TrialRequest

PROGRAM = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
if "--wait" in sys.argv:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    folder = pathlib.Path(os.fsdecode(line[:-1]))
(folder / "pid").write_text(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
"""


def executor(**options):
    return LocalExecutor(2, lambda folder: [sys.executable, "-c", PROGRAM, str(folder)], {}, **options)


def wait_for(trial, seconds=60):
    until = time.monotonic() + seconds
    while trial.exit_code() is None and time.monotonic() < until:
        time.sleep(0.01)
    return trial.exit_code()


def children():
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / str(number) for number in range(3)]
    for folder in made:
        folder.mkdir()
    return made


def test_the_next_trial_of_a_slot_takes_the_process_that_was_started_before(folders):
    several = executor(devices=["4", "7"], takes_spares=True)
    assert wait_for(several.start(folders[0], 1)) == 0
    before = children()
    several.prepare(folders[0], 1)
    several.prepare(folders[0], 1)  # one is enough
    (spare,) = children() - before
    assert wait_for(several.start(folders[1], 1)) == 0
    assert (folders[1] / "pid").read_text() == f"{spare} 7"
    assert wait_for(several.start(folders[2], 1)) == 0
    assert (folders[2] / "pid").read_text() != (folders[1] / "pid").read_text()


def test_a_spare_that_died_is_replaced(folders):
    several = executor(takes_spares=True)
    before = children()
    several.prepare(folders[0], 0)
    (spare,) = children() - before
    psutil.Process(spare).kill()
    while psutil.Process(spare).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert wait_for(several.start(folders[1], 0)) == 0
    assert (folders[1] / "pid").exists()


def test_spares_that_nobody_needs_are_ended(folders):
    several = executor(takes_spares=True)
    before = children()
    several.prepare(folders[0], 0)
    assert children() != before
    several.close()
    assert children() == before


@pytest.mark.parametrize("scarce", [True, False])
def test_no_spare_where_memory_is_scarce_or_the_command_knows_none(folders, monkeypatch, scarce):
    if scarce:
        monkeypatch.setattr(executors, "SPARE_BYTES", sys.maxsize)
    before = children()
    executor(takes_spares=scarce).prepare(folders[0], 0)
    assert children() == before


def test_the_real_process_waits_for_its_folder_and_writes_there(folders):
    values = resolve("image_classification", "efficientnet_lite0", {})
    request = TrialRequest(
        0, "image_classification", "efficientnet_lite0", dict(values), ["a"], "no", "no", "h", {}, "m"
    )
    for folder in folders[:2]:
        request.save(folder)
    real = LocalExecutor(1, python_command("automl_images.tasks.run_trial"), dict(os.environ), takes_spares=True)
    before = children()
    real.prepare(folders[0], 0)
    (spare,) = children() - before
    trial = real.start(folders[1], 0)
    assert trial._process.pid == spare
    assert wait_for(trial) != 0  # its tables are not there
    assert "Expected an MLTable folder, but no" in (folders[1] / "console.log").read_text()
    assert not (folders[0] / "console.log").exists()


def test_a_spare_ends_with_the_process_that_started_it(folders):
    program = (
        "import pathlib, sys, time; from automl_images.sweep.executors import LocalExecutor;"
        f"executor = LocalExecutor(1, lambda folder: [sys.executable, '-c', {PROGRAM!r}, str(folder)], {{}}, takes_spares=True);"
        "executor.prepare(pathlib.Path(sys.argv[1]), 0); print(executor._spares[0].pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(folders[0])], stdout=subprocess.PIPE, text=True)
    spare = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 60
    while psutil.pid_exists(spare) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(spare)
