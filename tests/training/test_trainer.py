"""An undisturbed training: what is learnt, evaluated, kept and told."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_learner import ScriptedLearner, TinyLearner

from automl_images.core.files import read_json
from automl_images.training import announcing
from automl_images.training.result import TrialResult
from automl_images.training.stepper import Stepper

PLAIN = {"norm": False, "dropout": 0.0}


def test_it_learns_and_tells(tmp_path, train_here, events_of, monkeypatch):
    monkeypatch.setattr(announcing, "PROGRESS_SECONDS", 0.0)
    result = train_here(tmp_path, number_of_epochs=6, log_training_metrics="Enable")
    assert result.status == "completed"
    assert result.epochs == 6
    assert result.primary_metric > 0.7
    assert TrialResult.load(tmp_path) == result
    epochs = events_of(tmp_path, "epoch")
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1]["log_loss_train"] < epochs[0]["log_loss_train"]
    assert epochs[-1]["log_loss"] < epochs[0]["log_loss"]
    assert set(epochs[0]["metrics"]) == {"certainty", "images", "certainty_train", "images_train"}
    assert epochs[0]["metrics"]["images_train"] == 22
    assert epochs[0]["images_per_second"] > 0
    assert 0 <= epochs[0]["data_wait"] <= 1
    assert epochs[0]["rss_mb"] > 50
    assert epochs[0]["eta_seconds"] > 0
    assert epochs[-1]["eta_seconds"] == 0
    steps = [(event["epoch"], event["step"]) for event in events_of(tmp_path, "progress")]
    assert steps == [(epoch, step) for epoch in range(1, 7) for step in range(1, 7)]
    with safe_open(tmp_path / "best.safetensors", framework="pt") as best:
        assert best.metadata() == {"epoch": str(result.best_epoch)}


def test_the_same_seed_gives_the_same_result_and_another_seed_another(tmp_path, train_here):
    first = train_here(tmp_path / "a")
    again = train_here(tmp_path / "b")
    other = train_here(tmp_path / "c", random_seed=1)
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics


def test_the_number_of_loader_processes_changes_nothing(tmp_path, train_here):
    none = train_here(tmp_path / "0", number_of_workers=0)
    one = train_here(tmp_path / "1", number_of_workers=1)
    assert none.metrics == one.metrics
    for name, weights in load_file(tmp_path / "0" / "best.safetensors").items():
        assert torch.equal(load_file(tmp_path / "1" / "best.safetensors")[name], weights)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(2, 4), (4, 2), (8, 100)])
def test_accumulation_equals_one_large_batch(batch_size, accumulation, tmp_path, train_here):
    """22 images in batches of 8: groups of 8, 8 and 6 images; 100 is clamped to one group of all."""
    given = {"learning_rate_scheduler": "step", "ema": False}
    large = 22 if accumulation == 100 else 8
    one = train_here(tmp_path / "one", TinyLearner(**PLAIN), training_batch_size=large, **given)
    many = train_here(
        tmp_path / "many",
        TinyLearner(**PLAIN),
        training_batch_size=batch_size,
        gradient_accumulation_step=accumulation,
        **given,
    )
    assert many.primary_metric == pytest.approx(one.primary_metric, abs=1e-5)
    for name, weights in load_file(tmp_path / "one" / "best.safetensors").items():
        assert torch.allclose(load_file(tmp_path / "many" / "best.safetensors")[name], weights, atol=1e-5), name


def test_early_stopping_needs_more_than_patience_evaluations_without_improvement(tmp_path, train_here, events_of):
    scores = [0.1, 0.5, 0.4, 0.5, 0.3, 0.2, 0.1, 0.0]
    given = {"early_stopping": True, "early_stopping_patience": 2, "early_stopping_delay": 3, "number_of_epochs": 8}
    result = train_here(tmp_path, ScriptedLearner(scores), **given)
    # Epoch indices 3, 4, 5 count (the delay is 3); the third of them is one more than the patience of 2.
    assert result.status == "early_stopped"
    assert result.epochs == 6
    assert result.best_epoch == 4  # the later of two equal scores
    assert result.primary_metric == 0.5
    assert [event["is_best"] for event in events_of(tmp_path, "epoch")] == [True, True, False, True, False, False]
    assert train_here(tmp_path, ScriptedLearner(scores), **given) == result


def test_a_metric_that_is_not_a_number_never_wins(tmp_path, train_here):
    result = train_here(tmp_path, ScriptedLearner([0.2, float("nan"), 0.1]))
    assert (result.best_epoch, result.primary_metric) == (1, 0.2)


def test_only_undefined_metrics_still_give_a_model(tmp_path, train_here, events_of):
    result = train_here(tmp_path, ScriptedLearner([float("nan")] * 3))
    assert result.primary_metric == 0.0
    assert result.metrics == {"certainty": None}
    assert (tmp_path / "best.safetensors").exists()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert all(json.loads(line, parse_constant=pytest.fail) for line in lines)  # NaN is no JSON


def test_evaluation_frequency_and_the_last_epoch(tmp_path, train_here, events_of):
    result = train_here(tmp_path, ScriptedLearner([0.1, 0.2, 0.3]), number_of_epochs=6, evaluation_frequency=3)
    evaluated = [event["epoch"] for event in events_of(tmp_path, "epoch") if "metrics" in event]
    assert evaluated == [1, 4, 6]
    assert result.best_epoch == 6


def test_without_metrics_the_last_epoch_is_best_and_nothing_stops_early(tmp_path, train_here, events_of):
    class Unmeasured(TinyLearner):
        def predict(self, model, batch):
            raise AssertionError("nothing is to be predicted")

    result = train_here(
        tmp_path,
        Unmeasured(),
        validation_metric_type="none",
        early_stopping=True,
        early_stopping_patience=1,
        early_stopping_delay=1,
        number_of_epochs=5,
    )
    assert (result.best_epoch, result.primary_metric, result.metrics) == (5, 0.0, {})
    assert events_of(tmp_path, "epoch")[0]["log_loss"] > 0


def test_validation_loss_can_be_switched_off(tmp_path, train_here, events_of):
    train_here(tmp_path, log_validation_loss="Disable", number_of_epochs=1)
    assert events_of(tmp_path, "epoch")[0]["log_loss"] is None


def test_evaluation_does_not_change_the_course_of_training(tmp_path, train_here):
    class Dicing(TinyLearner):
        def predict(self, model, batch):
            torch.rand(3)
            return super().predict(model, batch)

    often = train_here(tmp_path / "a", Dicing(), evaluation_frequency=1)
    rarely = train_here(tmp_path / "b", Dicing(), evaluation_frequency=3)
    assert often.best_epoch == rarely.best_epoch == 3
    assert often.metrics == rarely.metrics


@pytest.mark.parametrize("averaged", [True, False])
def test_the_weights_that_were_evaluated_are_kept(averaged, tmp_path, train_here):
    learner = TinyLearner()
    result = train_here(tmp_path, learner, ema=averaged)
    last = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    kept = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(kept[name], last[name]) for name in last) != averaged
    learner.model.load_state_dict(kept)
    learner.model.eval()
    batch = learner.collate([learner.validation_set[i] for i in range(10)])
    with torch.no_grad():
        metrics = learner.metrics(learner.predict(learner.model, batch), learner.truths(batch))
    assert metrics["certainty"] == pytest.approx(result.primary_metric, abs=1e-6)


def test_told_to_stop_in_the_first_epoch_there_is_a_model(tmp_path, train_here):
    asked = []
    result = train_here(tmp_path, stop=lambda: asked.append(1) or len(asked) >= 2)
    assert (result.status, result.epochs, result.best_epoch) == ("stopped", 0, 1)
    assert len(asked) == 2
    assert (tmp_path / "best.safetensors").exists()


def test_told_to_stop_later_the_best_so_far_stands(tmp_path, train_here, events_of):
    result = train_here(tmp_path, ScriptedLearner([0.9, 0.5, 0.4]), stop=lambda: len(events_of(tmp_path, "epoch")) >= 2)
    assert (result.status, result.epochs, result.best_epoch) == ("stopped", 2, 1)
    assert result.primary_metric == 0.9


def test_progress_lines_are_handed_on(tmp_path):
    from tiny_learner import settings

    from automl_images.core.events import EventLog
    from automl_images.training.trainer import train

    lines = []
    train(TinyLearner(), settings(), tmp_path, events=EventLog(tmp_path / "events.jsonl"), progress=lines.append)
    assert lines[-1].startswith("epoch 3/3, certainty 0.")


@pytest.mark.parametrize("kind", ["value", "norm"])
def test_gradients_are_clipped(kind):
    from tiny_learner import settings

    learner = TinyLearner(norm=False)
    stepper = Stepper(
        learner,
        settings(
            gradient_clip_type=kind, gradient_clip=0.001, learning_rate=1.0, momentum=0, weight_decay=0, ema=False
        ),
    )
    before = torch.cat([p.detach().flatten().clone() for p in learner.model.parameters()])
    batch = learner.collate([learner.training_set[(0, i)] for i in range(4)])
    assert stepper.gradients([batch]) is not None
    assert stepper.change_weights(1.0) == 1.0
    change = torch.cat([p.detach().flatten() for p in learner.model.parameters()]) - before
    size = change.abs().max() if kind == "value" else change.norm()
    assert float(size) == pytest.approx(0.001, rel=1e-2)
    stepper.close()


def test_bf16_keeps_the_weights_in_float32(tmp_path, train_here, events_of):
    learner = TinyLearner()
    seen = set()
    learner.model[0].register_forward_hook(lambda module, given, output: seen.add(output.dtype))
    result = train_here(tmp_path, learner, mixed_precision="bf16", number_of_epochs=4)
    assert events_of(tmp_path, "started")[0]["mixed_precision"] == "bf16"
    assert torch.bfloat16 in seen
    assert all(t.dtype != torch.bfloat16 for t in load_file(tmp_path / "best.safetensors").values())
    assert result.primary_metric > 0.6
    assert learner.model(torch.zeros(1, 1, 8, 8)).dtype == torch.float32
    assert train_here(tmp_path / "again", TinyLearner(), number_of_epochs=1).status == "completed"


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(tmp_path, train_here):
    plain = train_here(tmp_path / "plain", TinyLearner(dropout=0.0))
    compiled = train_here(tmp_path / "compiled", TinyLearner(dropout=0.0), compile=True)
    assert compiled.primary_metric == pytest.approx(plain.primary_metric, abs=1e-3)
    assert set(load_file(tmp_path / "compiled" / "best.safetensors")) == set(
        load_file(tmp_path / "plain" / "best.safetensors")
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu(precision, tmp_path, train_here, events_of):
    result = train_here(tmp_path, mixed_precision=precision, number_of_epochs=6, number_of_workers=1)
    assert result.primary_metric > 0.7
    assert events_of(tmp_path, "epoch")[0]["cuda_peak_mb"] > 0
    assert events_of(tmp_path, "started")[0]["device"].startswith("cuda")


def test_result_file_is_plain_json(tmp_path, train_here):
    result = train_here(tmp_path, number_of_epochs=1)
    assert read_json(tmp_path / "result.json")["primary_metric"] == result.primary_metric
