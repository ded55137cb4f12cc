"""A training that is killed, torn or interrupted ends exactly as one that was not."""

import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_learner import TinyLearner

from automl_images.core.errors import DiskFullError, Interrupted, TrainingError
from automl_images.core.failpoints import VARIABLE
from automl_images.core.files import read_json, sha256
from automl_images.training import interruption, run
from automl_images.training.checkpoint import Checkpoints

# 22 images in batches of 4 with accumulation of 2: six batches and three changes of the weights an epoch.
GIVEN = {"number_of_epochs": 4, "gradient_accumulation_step": 2, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from tiny_learner import settings

    from automl_images.core.events import EventLog
    from automl_images.training.trainer import train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("undisturbed")
    train(TinyLearner(), settings(**GIVEN), folder, events=EventLog(folder / "events.jsonl"))
    return folder


def last_state(folder):
    entry = read_json(folder / "checkpoints" / "manifest.json")[-1]
    return torch.load(folder / "checkpoints" / entry["file"], weights_only=True)


def assert_same_outcome(folder, undisturbed):
    result, expected = read_json(folder / "result.json"), read_json(undisturbed / "result.json")
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    assert sha256(folder / "best.safetensors") == sha256(undisturbed / "best.safetensors")
    state, wanted = last_state(folder), last_state(undisturbed)
    for name, weights in wanted["stepper"]["model"].items():
        assert torch.equal(state["stepper"]["model"][name], weights), name
    assert torch.equal(state["random"]["torch"], wanted["random"]["torch"])
    assert not list(folder.rglob(".tmp-*"))
    assert len(list((folder / "checkpoints").glob("*.pt"))) == 2


def test_the_undisturbed_run_learns_and_its_best_weights_are_not_its_last(undisturbed):
    assert read_json(undisturbed / "result.json")["primary_metric"] > 0.6
    best, last = load_file(undisturbed / "best.safetensors"), last_state(undisturbed)["stepper"]["model"]
    assert set(best) == set(last)
    assert not torch.equal(best["0.weight"], last["0.weight"])  # the moving average is kept


@pytest.mark.parametrize(
    "place",
    [
        "training:step:4",
        "training:step:16",
        "checkpoint:1:before_replace",
        "checkpoint:4:before_replace",
        "checkpoint:4:before_manifest",
        "checkpoint:4:before_best",
        "training:before_result",
    ],
)
def test_killed_at(place, tmp_path, undisturbed, train_apart, train_here):
    process = train_apart(tmp_path, environment={VARIABLE: f"{place}:kill"}, **GIVEN)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "result.json").exists()
    train_here(tmp_path, **GIVEN)
    assert_same_outcome(tmp_path, undisturbed)


def test_killed_again_and_again(tmp_path, undisturbed, train_apart, train_here):
    for place in ("training:step:4", "training:step:10", "checkpoint:3:before_manifest", "training:step:24"):
        process = train_apart(tmp_path, environment={VARIABLE: f"{place}:kill"}, **GIVEN)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    train_here(tmp_path, **GIVEN)
    assert_same_outcome(tmp_path, undisturbed)


def test_rare_checkpoints_repeat_epochs_and_end_the_same(tmp_path, train_apart, train_here):
    given = {**GIVEN, "checkpoint_frequency": 3}
    (tmp_path / "a").mkdir()
    process = train_apart(tmp_path / "b", environment={VARIABLE: "training:step:16:kill"}, **given)
    process.join(60)
    train_here(tmp_path / "a", **given)
    train_here(tmp_path / "b", **given)
    assert_same_outcome(tmp_path / "b", tmp_path / "a")


def test_within_a_long_epoch_a_checkpoint_is_written_now_and_then(tmp_path, undisturbed, train_here, monkeypatch):
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.0)
    monkeypatch.setenv(VARIABLE, "training:step:16:raise")
    with pytest.raises(RuntimeError):
        train_here(tmp_path, **GIVEN)
    at = last_state(tmp_path)["standing"]
    assert (at["epoch"], at["step"]) == (2, 2)  # the change of the weights before
    monkeypatch.undo()
    train_here(tmp_path, **GIVEN)
    assert_same_outcome(tmp_path, undisturbed)


def test_a_torn_checkpoint_is_replaced_by_the_one_before(tmp_path, undisturbed, train_apart, train_here, events_of):
    process = train_apart(tmp_path, environment={VARIABLE: "training:step:20:kill"}, **GIVEN)
    process.join(60)
    newest = tmp_path / "checkpoints" / read_json(tmp_path / "checkpoints" / "manifest.json")[-1]["file"]
    newest.write_bytes(newest.read_bytes()[:-100])
    train_here(tmp_path, **GIVEN)
    assert events_of(tmp_path, "checkpoint_unusable")[0]["file"] == newest.name
    assert_same_outcome(tmp_path, undisturbed)


@pytest.mark.parametrize("step", [2, 8, 12])
def test_sigint_finishes_the_step_and_goes_on_in_mid_epoch(
    step, tmp_path, undisturbed, train_here, events_of, monkeypatch
):
    monkeypatch.setenv(VARIABLE, f"training:step:{step}:interrupt")
    with pytest.raises(Interrupted, match="Run the same command") as caught:
        train_here(tmp_path, **GIVEN)
    assert caught.value.exit_code == 130
    assert len(events_of(tmp_path, "interrupted")) == 1
    assert not events_of(tmp_path, "failed")
    at = last_state(tmp_path)["standing"]
    assert at["epoch"] * 6 + at["step"] == step
    monkeypatch.delenv(VARIABLE)
    train_here(tmp_path, **GIVEN)
    assert_same_outcome(tmp_path, undisturbed)


class SlowLearner(TinyLearner):
    def losses(self, model, batch):
        time.sleep(0.05)
        return super().losses(model, batch)


class StuckLearner(TinyLearner):
    """Says that it began its first step, and does not end it."""

    def __init__(self, begun):
        super().__init__()
        self.begun = begun

    def losses(self, model, batch):
        self.begun.touch()
        while True:  # a signal that is only noted lets the sleep go on
            time.sleep(0.1)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_leaves_the_loaders_alive_until_all_is_saved(
    number, tmp_path, undisturbed, train_apart, train_here, events_of
):
    process = train_apart(tmp_path, SlowLearner(), number_of_workers=1, **GIVEN)
    wait_for(lambda: len(events_of(tmp_path, "epoch")) >= 1)
    os.killpg(process.pid, number)
    process.join(30)
    assert process.exitcode == 128 + number
    assert not events_of(tmp_path, "loader_failed")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no loader process is left
    train_here(tmp_path, **GIVEN)
    assert_same_outcome(tmp_path, undisturbed)


def test_a_second_signal_leaves_at_once(tmp_path, train_apart, monkeypatch):
    monkeypatch.setattr(interruption, "SAME_REQUEST", 0.0)
    process = train_apart(tmp_path, StuckLearner(tmp_path / "begun"), **GIVEN)
    wait_for((tmp_path / "begun").exists)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == -signal.SIGTERM


def test_a_signal_that_a_parent_passes_on_is_the_same_request(tmp_path, train_apart, monkeypatch):
    monkeypatch.setattr(interruption, "SAME_REQUEST", 1000.0)
    process = train_apart(tmp_path, StuckLearner(tmp_path / "begun"), **GIVEN)
    wait_for((tmp_path / "begun").exists)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    process.join(0.5)
    assert process.is_alive()
    process.kill()
    process.join(30)


def test_a_finished_training_is_not_repeated(tmp_path, train_here, events_of):
    first = train_here(tmp_path, **GIVEN)
    assert train_here(tmp_path, **GIVEN) == first
    assert len(events_of(tmp_path, "started")) == 1


def test_checkpoints_of_other_settings_are_refused(tmp_path, train_here, monkeypatch):
    monkeypatch.setenv(VARIABLE, "training:step:8:interrupt")
    with pytest.raises(Interrupted):
        train_here(tmp_path, **GIVEN)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(TrainingError, match="other settings or data"):
        train_here(tmp_path, **{**GIVEN, "learning_rate": 0.02})


def test_a_full_disk_leaves_the_last_checkpoint_usable(tmp_path, events_of):
    from automl_images.core.events import EventLog

    checkpoints = Checkpoints(tmp_path, EventLog(tmp_path / "events.jsonl"))
    checkpoints.save({"value": torch.ones(3)})

    class Unwritable:
        def __reduce__(self):
            raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError, match="The disk is full"):
        checkpoints.save({"value": torch.zeros(300), "more": Unwritable()})
    assert not list(tmp_path.rglob(".tmp-*"))
    assert torch.equal(Checkpoints(tmp_path, checkpoints._events).load()["value"], torch.ones(3))
