"""What a job hands to the controller of its trials, how its sweep ends, and what goes on; no trial is trained here."""

import pytest

from automl_images.core.errors import Interrupted, TimeIsUpError, TrainingError
from automl_images.core.events import EventLog
from automl_images.core.files import write_json
from automl_images.core.types import Table
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.jobs import running
from automl_images.jobs.options import parse_job_options
from automl_images.jobs.store import Job, JobStore
from automl_images.jobs.sweep import Sweep, open_sweep
from automl_images.jobs.trials import Requests
from automl_images.sweep.budget import CANCEL
from automl_images.sweep.study import JobStudy
from automl_images.tasks import get_task

TASK, MODEL = "image_classification", "efficientnet_lite0"


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens the sweep of the job `night`, and MLflow's tracker."""
    tracker = MLflowTracker("sqlite:///mlflow.db", "tests", tmp_path)
    rows = [{"image_url": f"{number}.png", "label": "ab"[number % 2]} for number in range(8)]
    for side in ("training", "validation"):
        (tmp_path / side).mkdir()
    tables = [Table(rows, tmp_path / side) for side in ("training", "validation")]

    def open_again(**limits):
        block = {"task": TASK, "source": {"path": "x"}, "training_parameters": {"model_name": MODEL}}
        options = parse_job_options(TASK, {**block, "limits": {"image_cache_gigabytes": 0, **limits}})
        return open_sweep(options, *tables, {}, JobStore(tmp_path / "jobs"), tracker, "night", None, None)

    return open_again, tracker


def end(sweep, error):
    with pytest.raises(error) as found, running.ending():
        sweep.run()
    return found.value


def state(sweep, tracker):
    job = JobStore(sweep.job.folder.parent).get("night")
    return job.status, tracker._client.get_run(job.run_id).info.status


def test_a_job_canceled_before_its_first_result_goes_on(opened):
    open_again, tracker = opened
    sweep = open_again()
    (sweep.job.folder / CANCEL).touch()
    error = end(sweep, Interrupted)
    assert not isinstance(error, TimeIsUpError)
    assert state(sweep, tracker) == ("Canceled", "KILLED")
    assert open_again().sentence == "Job night: goes on."
    running.end_with(Interrupted("x"))


def test_a_job_whose_time_was_up_before_its_first_result_goes_on_with_more(opened):
    open_again, tracker = opened
    sweep = open_again(timeout_minutes=1)
    EventLog(sweep.job.folder / "events.jsonl").write("working", elapsed=61.0)
    assert "Raise limits.timeout_minutes" in str(end(sweep, TimeIsUpError))
    assert state(sweep, tracker) == ("Canceled", "KILLED")
    more = open_again(timeout_minutes=2)
    assert (more.sentence, more._seconds_left() > 0) == ("Job night: goes on.", True)
    running.end_with(Interrupted("x"))


def with_trial(sweep, **result):
    """Put a finished trial into a sweep's job."""
    name = f"{TASK}.night.{sweep.job.fingerprint[:12]}"
    study = JobStudy(sweep.job.folder, name, None)
    study.ask(lambda trial: {})
    (sweep.job.folder / "0").mkdir()
    if result:
        common = {"status": "completed", "best_epoch": 1, "epochs": 1, "seconds": 1.0, "metrics": {}}
        write_json(sweep.job.folder / "0/result.json", {**common, **result})
        study.tell(0, "Completed", result["primary_metric"], "")
    else:
        study.tell(0, "Failed", None, "its images are gone")
    study.close()


def test_a_job_of_which_no_trial_came_to_anything_has_failed(opened):
    open_again, tracker = opened
    sweep = open_again()
    with_trial(sweep)
    assert "trial 0: Failed: its images are gone" in str(end(sweep, TrainingError))
    assert state(sweep, tracker) == ("Failed", "FAILED")


def test_which_trial_is_the_best_is_not_said_before_it_is_chosen(opened):
    """In AutoMode the trial with the best metric may lose against the default recipe afterwards."""
    open_again, tracker = opened
    sweep = open_again()
    with_trial(sweep, primary_metric=0.82)
    write_json(sweep.job.folder / "0/tracking.json", {"run_id": "0" * 32})
    assert [trial.score for trial in sweep.run()] == [0.82]
    running.end_well()
    tags = tracker._client.get_run(sweep.job.run_id).data.tags
    assert not {"best_child_run_id", "score", "run_algorithm"} & set(tags)


@pytest.mark.parametrize(
    ("algorithm", "trials", "cores", "slots"),
    [("grid", 2, 16, 2), ("random", 20, 16, 8), ("random", 20, 4, 4)],
)
def test_cores_are_divided_between_trials_that_are_made(tmp_path, monkeypatch, caplog, algorithm, trials, cores, slots):
    caplog.set_level("INFO")
    monkeypatch.setattr("automl_images.jobs.sweep.visible_devices", list)
    monkeypatch.setenv("AUTOML_IMAGES_CORES", str(cores))
    table = Table([{"image_url": "0", "label": "a"}], tmp_path)
    block = {
        "source": {"path": "x"},
        "limits": {"max_trials": 20, "max_concurrent_trials": 8, "image_cache_gigabytes": 0},
        "training_parameters": {"model_name": "efficientnet_lite0"},
        "search_space": [{"learning_rate": "choice(0.001, 0.01)"}],
        "sweep": {"sampling_algorithm": algorithm},
    }
    options = parse_job_options(TASK, {"task": TASK, **block})
    requests = Requests(options, get_task(TASK), table, table, {}, lambda model_name, values: dict(values))
    job = Job("job", tmp_path, "Running", "f" * 64, None, {}, 0.0)
    sweep = Sweep(job, "", requests, options, None, None, None)
    search = sweep._manual()
    executor = sweep._executor(search.trials)
    assert (search.trials, executor.slots) == (trials, slots)
    assert executor.environment["OMP_NUM_THREADS"] == str(cores // slots)
    assert ("max_concurrent_trials is 8; without a GPU 4 run at once" in caplog.text) == (cores < 8)
