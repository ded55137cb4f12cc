import contextlib
import subprocess
import sys

import pytest

from automl_images.core.errors import BusyError, JobError, SettingsError
from automl_images.jobs.store import JobStore


def test_an_unfinished_job_goes_on_and_a_finished_one_is_run_anew(tmp_path):
    store = JobStore(tmp_path)
    first, said = store.open("same", None, {"data": "a"})
    assert said.endswith("new.")
    again, said = JobStore(tmp_path).open("same", None, {"data": "a"})
    assert again.name == first.name
    assert "goes on" in said
    again.set_status("Completed")
    third, said = store.open("same", None, {"data": "a"})
    assert third.name != first.name
    assert first.name in said


def test_other_work_is_another_job(tmp_path):
    store = JobStore(tmp_path)
    assert store.open("a", None, {})[0].name != store.open("b", None, {})[0].name


def test_a_named_job_is_found_again_even_when_finished(tmp_path):
    store = JobStore(tmp_path)
    store.open("a", "night-run", {"data": "x"})[0].set_status("Completed")
    job, said = store.open("a", "night-run", {"data": "x"})
    assert job.name == "night-run"
    assert "not run again" in said


def test_a_name_is_not_used_for_other_work(tmp_path):
    store = JobStore(tmp_path)
    store.open("a", "night-run", {"data": "x", "task": "t"})
    with pytest.raises(JobError, match="exists with other data"):
        store.open("b", "night-run", {"data": "y", "task": "t"})


@contextlib.contextmanager
def another_process(folder, call):
    """A process that holds what `call` on the store of the folder holds, until it is killed; gives its number."""
    code = (
        "import sys; from pathlib import Path; from automl_images.jobs.store import JobStore;"
        f"JobStore(Path({str(folder)!r})).{call}; print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()


def test_a_job_that_another_process_runs_is_not_run_twice(tmp_path):
    with (
        another_process(tmp_path, "open('same', 'night', {})") as number,
        pytest.raises(JobError, match=f"being run by process {number}"),
    ):
        JobStore(tmp_path).open("same", None, {})
    assert JobStore(tmp_path).open("same", None, {})[0].name == "night"


def test_the_folder_of_a_process_that_runs_a_job_is_not_for_another_job(tmp_path):
    with (
        another_process(tmp_path, "hold()") as number,
        pytest.raises(BusyError, match=f"is being run by process {number} .*a data_root of its own"),
    ):
        JobStore(tmp_path).hold()
    JobStore(tmp_path).hold()
    JobStore(tmp_path).hold()  # the same process may run one job after another


def test_a_job_of_which_nothing_came_does_not_go_on(tmp_path):
    store = JobStore(tmp_path)
    job, _ = store.open("a", None, {})
    job.set_status("Failed")
    second, sentence = store.open("a", None, {})
    assert second.name != job.name
    assert f"nothing came of the trials of {job.name}" in sentence
    with pytest.raises(JobError, match="nothing came of its trials"):
        store.open("a", job.name, {})


def test_a_later_command_goes_on_with_what_is_not_over(tmp_path):
    store = JobStore(tmp_path)
    store.open("a", 42, {})[0].set_status("Canceled")
    assert store.go_on("42").status == store.get("42").status == "Running"
    for status in ("Completed", "Failed"):
        store.get("42").set_status(status)
        assert store.go_on("42") is None
        assert store.get("42").status == status
    assert store.go_on("43") is None


def test_a_later_command_does_not_go_on_with_what_another_process_runs(tmp_path):
    with another_process(tmp_path, "open('same', 'night', {})") as number:
        with pytest.raises(BusyError, match=f"being run by process {number}"):
            JobStore(tmp_path).go_on("night")
        JobStore(tmp_path).get("night").set_status("Completed")
        assert JobStore(tmp_path).go_on("night") is None


@pytest.mark.parametrize("name", ["../up", "", "a b", "-x"])
def test_names_that_are_no_folder_names_are_refused(tmp_path, name):
    with pytest.raises(SettingsError, match="letters, digits"):
        JobStore(tmp_path).open("a", name, {})
