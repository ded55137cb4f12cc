"""Jobs that go on: with what an earlier process left, half done, out of date or gone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_trials import RecordingTracker, request, sweep

from automl_images.core.errors import Interrupted, JobError, TimeIsUpError
from automl_images.core.events import EventLog
from automl_images.core.files import replacing
from automl_images.pipelines.model_selection.comparison import load_trial
from automl_images.sweep import outcomes
from automl_images.sweep.budget import CANCEL, why_ended
from automl_images.sweep.study import JobStudy
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.run_trial import WEIGHTS_INFO
from automl_images.training.checkpoint import Checkpoints

KILLED = [("checkpoint:4:before_replace:kill", 1), ("training:step:20:kill", 5)]


def left_open(folder, configuration, epochs_done=1):
    """Leave an open trial as a controller that was killed does."""
    JobStudy(folder, "job", None).ask(lambda trial: configuration)
    trial = folder / "0"
    trial.mkdir()
    request(0, configuration).save(trial)
    (trial / "state").write_text(str(epochs_done))
    return trial


def test_values_that_json_knows_not_are_the_same_trial_again(tmp_path):
    configuration = {"score": 0.2, "tile_grid_size": (3, 2), "dies": 1}
    assert [o.status for o in sweep(tmp_path, [configuration]).run()] == ["Completed"]


@pytest.mark.parametrize(("for_good", "end"), [(False, ("Completed", 5)), (True, ("Canceled", 2))])
def test_a_trial_goes_on_unless_a_policy_stopped_it(tmp_path, for_good, end):
    """What told it to end before its controller was killed, such as a time limit, does not hold any more."""
    trial = left_open(tmp_path, {"score": 0.2, "epochs": 5})
    (trial / "stop.json").write_text(json.dumps({"reason": "timeout_minutes reached", "for_good": for_good}))
    assert [(o.status, o.epochs) for o in sweep(tmp_path, [{}]).run()] == [end]


def test_a_trial_canceled_before_it_came_to_anything_goes_on(tmp_path):
    """It waited to go on: as the only trial allowed, it would else be the job's last, without a result."""
    left_open(tmp_path, {"score": 0.2, "epochs": 5})
    (tmp_path / CANCEL).touch()
    with pytest.raises(Interrupted, match="Canceled before any trial came to a result"):
        sweep(tmp_path, [{}]).run()
    with pytest.raises(TimeIsUpError, match=r"timeout_minutes reached: .*Raise limits\.timeout_minutes"):
        sweep(tmp_path, [{}], seconds=0.0).run()
    assert [(o.status, o.epochs) for o in sweep(tmp_path, [{}]).run()] == [("Completed", 5)]


def test_too_little_time_for_a_first_result_is_a_time_limit_with_the_causes_of_what_failed(tmp_path):
    configurations = [{"score": 0.1, "refuses": True}, {"score": 0.1}]
    assert [o.status for o in sweep(tmp_path, configurations, trials=1).run()] == ["Failed"]
    found = sweep(tmp_path, configurations, seconds=600.0, least_seconds=600.0).run
    with pytest.raises(TimeIsUpError, match=r"(?s)timeout_minutes leaves .*trial 0: Failed: loss is no number"):
        found()
    assert [o.status for o in sweep(tmp_path, configurations).run()] == ["Failed", "Completed"]


def test_a_database_that_knows_more_than_the_folder_is_told(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study = [{"score": 0.1}, {"score": 0.2}]
    first = sweep(tmp_path / "job", study, study=JobStudy(tmp_path, "job", url)).run()
    shutil.rmtree(tmp_path / "job" / "1")
    with pytest.raises(JobError, match=r"shared\.db has the result of a trial whose folder .*/job/1 is not there"):
        sweep(tmp_path / "job", study, study=JobStudy(tmp_path, "job", url)).run()
    shutil.rmtree(tmp_path / "job")
    with pytest.raises(JobError, match="start a new job by another job_name"):
        sweep(tmp_path / "job", study, study=JobStudy(tmp_path, "job", url)).run()
    assert [o.status for o in first] == ["Completed", "Completed"]


def test_why_a_sweep_ended_before_its_trials_were_made_is_said_though_there_is_a_best_one(tmp_path, capfd):
    broken = [{"score": 0.2, "breaks": True}] * 7
    found = sweep(tmp_path, [{"score": 0.1}, *broken], concurrent=1).run()
    assert [o.status for o in found] == ["Completed", "Failed", "Failed", "Failed"]
    assert "ended with 4 of 8 trials: 3 trials died of the same cause" in capfd.readouterr().out
    assert why_ended(tmp_path).startswith("3 trials died of the same cause")


def test_too_little_time_for_another_trial_is_said(tmp_path, capfd):
    found = sweep(tmp_path, [{"score": 0.1}] * 4, concurrent=1, seconds=600.0, least_seconds=599.7).run()
    assert 1 <= len(found) < 4
    assert f"sweep: ended with {len(found)} of 4 trials: timeout_minutes leaves " in capfd.readouterr().out
    assert why_ended(tmp_path).endswith("and the shortest trial needs 10 min 0 s")


def test_a_trial_that_saves_touches_no_file_that_its_controller_writes(tmp_path):
    """Both write into the trial's folder at the same moment: at the end of an epoch."""
    with replacing(tmp_path / "stop.json") as temporary:
        temporary.write_text("{}")
        Checkpoints(tmp_path, EventLog(tmp_path / "events.jsonl")).save({})
    assert (tmp_path / "stop.json").exists()


def test_a_stopped_trial_is_worth_its_best_value(tmp_path):
    """That of trials that completed is their best, too: samplers and dashboards compare them."""
    study = JobStudy(tmp_path, "job", None)
    study.ask(lambda trial: {})
    for epoch, value in enumerate((0.5, 0.9, 0.3), 1):
        study.report(0, epoch, value)
    study.tell(0, "Canceled", 0.9, "stopped by bandit")
    (trial,) = study._study.get_trials()
    assert (trial.state.name, trial.value) == ("PRUNED", 0.9)


TRAIN = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from tiny_learner import TinyLearner, settings
from automl_images.core.events import EventLog
from automl_images.training.trainer import train
folder = pathlib.Path(sys.argv[2])
learning = settings(number_of_epochs=8, checkpoint_frequency=int(sys.argv[3]))
train(TinyLearner(), learning, folder, events=EventLog(folder / "events.jsonl"))
"""


@pytest.mark.parametrize(("failpoint", "checkpoint_frequency"), KILLED)
def test_a_trial_killed_and_then_canceled_has_the_weights_of_its_best_epoch(
    tmp_path, failpoint, checkpoint_frequency, monkeypatch
):
    """Those wait under another name until a checkpoint knows of them, and a kill may come before it."""
    from automl_images.training.checkpoint import weights_by_epoch

    trial, tests = left_open(tmp_path, {}), Path(__file__).parents[1] / "training"
    command = [sys.executable, "-c", TRAIN, tests, trial, str(checkpoint_frequency)]
    environment = {**os.environ, "AUTOML_IMAGES_FAILPOINT": failpoint}
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    (tmp_path / CANCEL).touch()
    controller = sweep(tmp_path, [{}], SilentTracker())
    controller.make_request = lambda number, values: TrialRequest(
        number, "t", "model", values, ["a"], "x", "y", "h", {}, "certainty"
    )
    (outcome,) = controller.run()
    assert (outcome.status, outcome.best_epoch) == ("Canceled", 3)
    assert weights_by_epoch(trial)[3].name == "best.next.safetensors"
    assert next(iter(loaded(trial, outcome, monkeypatch)[0].values())).isfinite().all()
    (trial / "best.next.safetensors").unlink()
    left = outcomes.outcome(controller.make_request(0, {}), trial)
    assert left.best_epoch == max(weights_by_epoch(trial), default=3)  # of what is there the best; else as logged


def loaded(trial, outcome, monkeypatch):
    """Return the weights of a trial, and what is known of them, as the stage model_selection reads them."""
    (trial / WEIGHTS_INFO).write_text("{}")
    task = SimpleNamespace(trained_model=lambda request, weights, about: (weights, about))
    monkeypatch.setattr("automl_images.tasks.get_task", lambda name: task)
    jobs = SimpleNamespace(get=lambda name: SimpleNamespace(folder=trial.parent))
    return load_trial({"job": "job", "trial": 0, "best_epoch": outcome.best_epoch}, jobs)


class SilentTracker(RecordingTracker):
    def log_metrics(self, run_id, metrics, step, at=None):
        """Keep nothing."""
