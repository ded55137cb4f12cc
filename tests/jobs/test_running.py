"""How jobs and their runs end, with MLflow on SQLite."""

import contextlib
import os
import shutil
import signal
import time

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from automl_images.core.errors import Interrupted, ParityError, TrainingError
from automl_images.core.files import write_json
from automl_images.core.tracking import NullTracker
from automl_images.datasets.jobs import JobStoreDataset
from automl_images.hooks import JobHooks
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.jobs import running
from automl_images.jobs.store import JobStore
from automl_images.sweep import patience
from automl_images.sweep.patience import Patience


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return MLflowTracker("sqlite:///mlflow.db", "tests", tmp_path_factory.mktemp("project"))


def begin(tmp_path, tracker, name="night"):
    job, _ = JobStore(tmp_path).open("a", name, {})
    running.start(job, tracker, "object_detection", {"model_name": "yolov5"})
    return job


class SilentTracker(NullTracker):
    """One whose server is away."""

    def end(self, run_id, status):
        def refused():
            raise ConnectionError("nobody there")

        Patience("the server", is_outage=lambda error: isinstance(error, ConnectionError))(refused)


def test_after_an_error_a_server_that_is_away_is_not_waited_for_long(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(patience, "ENDING_PATIENCE", 1.0)
    begin(tmp_path, SilentTracker())
    begin(tmp_path, SilentTracker(), "day")
    with pytest.raises(ParityError), running.ending():
        raise ParityError("x")
    assert {JobStore(tmp_path).get(name).status for name in ("night", "day")} == {"Canceled"}
    assert caplog.text.count("that it ended could not be written down (no answer within 1 seconds)") == 2


def status(tracker, run_id):
    return tracker._client.get_run(run_id).info.status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ParityError("x"), "FAILED"),
        (TrainingError("not of the sweep, which marks its job itself"), "FAILED"),
        (Interrupted("x"), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_an_error_closes_the_runs_and_the_same_work_goes_on_in_them(tmp_path, tracker, error, expected):
    job = begin(tmp_path, tracker)
    trial = tracker.start_trial(job.run_id, 0, {}, None)
    ended = tracker.start_trial(job.run_id, 1, {}, None)
    tracker.end(ended, "Completed")
    with pytest.raises(type(error)), running.ending():
        raise error
    assert [status(tracker, run) for run in (job.run_id, trial, ended)] == [expected, "KILLED", "FINISHED"]
    assert JobStore(tmp_path).get("night").status == "Canceled"
    assert not tracker._monitors
    again = begin(tmp_path, tracker)
    assert (again.run_id, again.created, status(tracker, job.run_id)) == (job.run_id, job.created, "RUNNING")
    running.end_well()
    assert status(tracker, job.run_id) == "FINISHED"
    assert JobStore(tmp_path).get("night").status == "Running"  # a part of it, well done
    running.end_with(error)
    assert status(tracker, job.run_id) == "FINISHED"  # this process has nothing to do with it any more


def test_a_job_that_the_sweep_marked_as_failed_stays_so(tmp_path, tracker):
    job = begin(tmp_path, tracker)
    job.set_status("Failed")
    running.end_with(TrainingError("no trial came to a value"))
    assert (JobStore(tmp_path).get("night").status, status(tracker, job.run_id)) == ("Failed", "FAILED")


def test_that_an_end_cannot_be_written_down_hides_no_error(tmp_path, tracker, caplog):
    job = begin(tmp_path, tracker)
    shutil.rmtree(tmp_path)
    tmp_path.write_text("no folder")
    with pytest.raises(ParityError, match="the first"), running.ending():
        raise ParityError("the first")
    assert "Job night: that it ended could not be written down" in caplog.text
    assert status(tracker, job.run_id) == "FAILED"


def test_a_later_command_opens_the_run_of_what_is_not_over(tmp_path, tracker):
    job, jobs = begin(tmp_path, tracker), JobStore(tmp_path)
    running.end_well()
    running.go_on(jobs, "night", tracker, "object_detection")
    assert status(tracker, job.run_id) == "RUNNING"
    running.go_on(jobs, "night", tracker, "object_detection")
    running.end_with(KeyboardInterrupt())
    assert (jobs.get("night").status, status(tracker, job.run_id)) == ("Canceled", "KILLED")
    jobs.get("night").set_status("Completed")
    running.go_on(jobs, "night", tracker, "object_detection")
    assert (jobs.get("night").status, status(tracker, job.run_id)) == ("Completed", "KILLED")


def test_a_job_without_its_run_goes_on_in_another(tmp_path):
    """The store was removed, is another one, or somebody deleted the run."""
    jobs, trackers = JobStore(tmp_path / "jobs"), []
    for name in ("first", "second"):
        trackers.append(MLflowTracker(f"sqlite:///{name}.db", "tests", tmp_path))
        job, _ = jobs.open("a", "night", {"training_parameters": {"model_name": "yolov5"}})
        if name == "first":
            running.start(job, trackers[0], "object_detection", {})
            lost = job.run_id
        else:
            running.go_on(jobs, "night", trackers[1], "object_detection")
        running.end_with(Interrupted("x"))
    found = trackers[1]._client.get_run(jobs.get("night").run_id)
    assert (found.info.run_id != lost, found.info.status) == (True, "KILLED")
    assert found.data.params == {"model_name": "yolov5"}


def test_what_is_told_of_a_job_that_is_over_is_told_though_its_run_is_gone(tmp_path, tracker):
    job, jobs = begin(tmp_path, tracker, "over"), JobStore(tmp_path)
    running.end_well()
    jobs.get("over").set_status("Completed")
    assert running.run_of(jobs.get("over"), tracker, "object_detection") == job.run_id
    assert status(tracker, job.run_id) == "FINISHED"
    tracker._client.delete_run(job.run_id)
    run = running.run_of(jobs.get("over"), tracker, "object_detection")
    assert run == jobs.get("over").run_id != job.run_id
    running.end_well()
    assert (jobs.get("over").status, status(tracker, run)) == ("Completed", "FINISHED")
    tracker._client.delete_run(run)
    running.run_of(jobs.get("over"), tracker, "object_detection")
    running.end_with(ParityError("x"))
    assert jobs.get("over").status == "Completed"


@pytest.mark.parametrize("its_run_is_gone", [False, True])
def test_the_trial_that_model_selection_chose_is_the_best_of_job_and_run(tmp_path, tracker, its_run_is_gone):
    """It may be the default recipe, of which the trial with the best metric was not surely better."""
    task, job = "object_detection", begin(tmp_path, tracker)
    trials = [tracker.start_trial(job.run_id, number, {}, None) for number in range(2)]
    for number, run in enumerate(trials):
        (job.folder / str(number)).mkdir()
        write_json(job.folder / str(number) / "tracking.json", {"run_id": run})
    running.end_well()
    if its_run_is_gone:
        tracker._client.delete_run(trials[0])
    assert job.chosen is None
    hooks = JobHooks()
    hooks._tracker, manager = tracker, _create_hook_manager()
    manager.register(hooks)
    best = {"job": "night", "trial": 0, "model_name": "yolov5", "metric": 0.8}
    catalog = DataCatalog({f"{task}.jobs": JobStoreDataset(filepath=str(tmp_path)), "trials": MemoryDataset([0, 1])})
    select = Node(lambda trials: best, "trials", f"{task}.best_trial", name="select_best_trial")
    users = Node(lambda trials: None, "trials", None, name="a_users_node_without_outputs")
    SequentialRunner().run(Pipeline([select, users]), catalog, manager)
    assert JobStore(tmp_path).get("night").chosen == 0
    tags = tracker._client.get_run(job.run_id).data.tags
    assert tags.get("best_child_run_id") == (None if its_run_is_gone else trials[0])
    assert (tags["score"], tags["run_algorithm"]) == ("0.8", "yolov5")
    assert status(tracker, job.run_id) == "FINISHED"


def test_what_a_run_left_open_in_a_notebook_is_closed_by_the_next(tmp_path, tracker):
    job = begin(tmp_path, tracker)
    JobHooks().before_pipeline_run({}, Pipeline([]), DataCatalog())
    assert (JobStore(tmp_path).get("night").status, status(tracker, job.run_id)) == ("Canceled", "KILLED")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_work_once_a_request(number, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background begins with it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    cleaned_up = []

    def twice():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # a terminal and a parent may both pass it on
            cleaned_up.append(number)

    with pytest.raises(KeyboardInterrupt), running.ending():
        twice()
    assert cleaned_up == [number]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signals_that_somebody_else_heeds_are_left_to_them(request):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, before))
    with running.ending():
        signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_a_forked_child_dies_of_sigterm_as_ever():
    with running.ending():
        is_there, tell = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                os.write(tell, b"x")
                time.sleep(30)
            os._exit(0)
        os.read(is_there, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
