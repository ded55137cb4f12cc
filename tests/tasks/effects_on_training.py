"""Rows that act in the training loop, checked on trainings of the tiny learner: 22 images, 6 batches of 4 an epoch."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from effects import classifier, effect, trained
from tiny_learner import ScriptedLearner, TinyImages, TinyLearner
from torch import optim

from automl_images.core.errors import SettingsError
from automl_images.training import run as training_run

FLAT = {"learning_rate_scheduler": "step", "step_lr_step_size": 100, "ema": False}
"""The same learning rate in all steps."""

ONE_EPOCH = {**FLAT, "number_of_epochs": 1}
PLAIN_SGD = {**ONE_EPOCH, "momentum": 0, "weight_decay": 0, "gradient_clip": 0}
PLAIN_ADAM = {**ONE_EPOCH, "optimizer": "adam", "weight_decay": 0, "learning_rate": 0.01}
FALLING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]


class Watched(TinyLearner):
    """Writes down which images it is trained on, and how many at a time it is judged on."""

    def __init__(self):
        super().__init__(norm=False, dropout=0.0)
        self.trained_on, self.judged = [], []

    def losses(self, model, batch):
        if model.training:
            self.trained_on.append(batch.image_ids)
        return super().losses(model, batch)

    def predict(self, model, batch):
        self.judged.append(len(batch))
        return super().predict(model, batch)


class ReadBy(TinyImages):
    """Names each image after the process that read it."""

    def __getitem__(self, key):
        image, label, _ = super().__getitem__(key)
        return image, label, os.getpid()


def close(found, expected, tolerance=1e-6):
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=tolerance, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def differ(first, second):
    return any(not torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def changes(step):
    return {name: step.after[name] - before for name, before in step.before.items()}


@effect("number_of_epochs")
def _number_of_epochs(folder):
    run = trained(folder, number_of_epochs=2)
    assert run.result.epochs == 2
    assert [event["epoch"] for event in run.told("epoch")] == [1, 2]
    assert len(run.steps) == 2 * 6


class Timed(TinyLearner):
    """Its clock goes on by a second with each training step and by `evaluation` with each evaluation."""

    def __init__(self, evaluation):
        super().__init__()
        self.now, self.evaluation = 0.0, evaluation

    def losses(self, model, batch):
        self.now += model.training
        return super().losses(model, batch)

    def metrics(self, predictions, truths):
        self.now += self.evaluation
        return super().metrics(predictions, truths)


@effect("max_training_minutes")
def _max_training_minutes(folder):
    for minutes, evaluation, evaluated in ((0.55, 3, [True] * 4), (0.9, 9, [True, True, False, False, True])):
        learner = Timed(evaluation)  # an epoch takes 6 seconds; the last has 3 steps
        with mock.patch.object(training_run, "time", SimpleNamespace(monotonic=lambda: learner.now)):  # noqa: B023
            run = trained(folder, learner, number_of_epochs=100, learning_rate=0.1, max_training_minutes=minutes)
        assert learner.now == 60 * minutes
        assert (run.result.status, run.result.epochs) == ("out_of_time", len(evaluated))
        assert len(run.steps) == 6 * len(evaluated) - 3
        assert [("metrics" in event) for event in run.told("epoch")] == evaluated
        assert run.rates[-1] < 0.03 * 0.1 < 0.09 < max(run.rates)
    assert trained(folder, number_of_epochs=2, max_training_minutes=60).result.epochs == 2


@effect("training_batch_size")
def _training_batch_size(folder):
    for size, expected in ((4, [4, 4, 4, 4, 4, 2]), (8, [8, 8, 6])):
        learner = Watched()
        run = trained(folder, learner, **ONE_EPOCH, training_batch_size=size)
        assert [len(names) for names in learner.trained_on] == expected
        assert len(run.steps) == len(expected)


@effect("validation_batch_size")
def _validation_batch_size(folder):
    for size, expected in ((4, [4, 4, 2]), (10, [10])):
        learner = Watched()
        trained(folder, learner, **ONE_EPOCH, validation_batch_size=size)
        assert learner.judged == expected


@effect("gradient_accumulation_step")
def _gradient_accumulation_step(folder):
    run = trained(folder, **ONE_EPOCH, gradient_accumulation_step=4)
    assert len(run.steps) == 2  # of 4 and 2 batches
    large = trained(folder, **ONE_EPOCH, training_batch_size=16)
    close(run.kept, large.kept)


@effect("early_stopping")
def _early_stopping(folder):
    given = {"number_of_epochs": 10, "early_stopping_patience": 1, "early_stopping_delay": 1}
    assert trained(folder, ScriptedLearner(FALLING), **given, early_stopping=False).result.epochs == 10
    result = trained(folder, ScriptedLearner(FALLING), **given, early_stopping=True).result
    assert (result.status, result.epochs) == ("early_stopped", 3)


@effect("early_stopping_patience")
def _early_stopping_patience(folder):
    given = {"number_of_epochs": 10, "early_stopping": True, "early_stopping_delay": 1}
    for patience in (1, 4):  # one evaluation sets the best score, one more than the patience do not reach it
        result = trained(folder, ScriptedLearner(FALLING), **given, early_stopping_patience=patience).result
        assert result.epochs == 1 + patience + 1


@effect("early_stopping_delay")
def _early_stopping_delay(folder):
    given = {"number_of_epochs": 10, "early_stopping": True, "early_stopping_patience": 1}
    for delay in (1, 5):
        result = trained(folder, ScriptedLearner(FALLING), **given, early_stopping_delay=delay).result
        assert result.epochs == delay + 2


@effect("learning_rate")
def _learning_rate(folder):
    for rate in (0.01, 0.2):
        run = trained(folder, **PLAIN_SGD, learning_rate=rate)
        assert run.rates == pytest.approx([rate] * 6)
        close(changes(run.steps[0]), {name: -rate * g for name, g in run.steps[0].gradient.items()})


@effect("learning_rate_scheduler")
def _learning_rate_scheduler(folder):
    given = {"learning_rate": 0.1, "step_lr_step_size": 1, "step_lr_gamma": 0.5, "number_of_epochs": 2}
    step = trained(folder, **given, learning_rate_scheduler="step")
    assert step.rates == pytest.approx([0.1] * 6 + [0.05] * 6)
    assert trained(folder, **given, learning_rate_scheduler="None").rates == pytest.approx([0.1] * 12)
    cosine = trained(folder, **given, learning_rate_scheduler="warmup_cosine", warmup_cosine_lr_warmup_epochs=2)
    assert cosine.rates == pytest.approx([0.1 * k / 12 for k in range(12)])


@effect("step_lr_gamma")
def _step_lr_gamma(folder):
    given = FLAT | {"step_lr_step_size": 1, "learning_rate": 0.1}
    for gamma in (0.5, 0.1):
        run = trained(folder, **given, step_lr_gamma=gamma)
        assert run.rates[::6] == pytest.approx([0.1, 0.1 * gamma, 0.1 * gamma**2])


@effect("step_lr_step_size")
def _step_lr_step_size(folder):
    given = FLAT | {"step_lr_gamma": 0.5, "learning_rate": 0.1, "number_of_epochs": 4}
    assert trained(folder, **given | {"step_lr_step_size": 1}).rates[::6] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    assert trained(folder, **given | {"step_lr_step_size": 2}).rates[::6] == pytest.approx([0.1, 0.1, 0.05, 0.05])


@effect("warmup_cosine_lr_cycles")
def _warmup_cosine_lr_cycles(folder):
    for cycles in (0.5, 1.0):  # ends at zero, or back at the top
        run = trained(folder, learning_rate=0.1, warmup_cosine_lr_warmup_epochs=1, warmup_cosine_lr_cycles=cycles)
        waves = [0.05 * (1 + math.cos(2 * math.pi * cycles * k / 12)) for k in range(12)]
        assert run.rates[6:] == pytest.approx(waves)


@effect("warmup_cosine_lr_warmup_epochs")
def _warmup_cosine_lr_warmup_epochs(folder):
    for epochs in (1, 2):
        run = trained(folder, learning_rate=0.1, warmup_cosine_lr_warmup_epochs=epochs, number_of_epochs=2)
        ramp = 6 * epochs
        assert run.rates[:ramp] == pytest.approx([0.1 * k / ramp for k in range(ramp)])


@effect("optimizer")
def _optimizer(folder):
    runs = {name: trained(folder, **ONE_EPOCH, optimizer=name, weight_decay=0.5) for name in ("sgd", "adam", "adamw")}
    assert {name: run.steps[0].optimizer for name, run in runs.items()} == {
        "sgd": optim.SGD.__name__,
        "adam": optim.Adam.__name__,
        "adamw": optim.AdamW.__name__,
    }
    assert differ(runs["sgd"].kept, runs["adam"].kept)
    assert differ(runs["adam"].kept, runs["adamw"].kept)


@effect("momentum")
def _momentum(folder):
    for momentum in (0.3, 0.9):
        first, second, *_ = trained(folder, **PLAIN_SGD | {"momentum": momentum}, nesterov=False).steps
        expected = {n: -0.05 * (momentum * first.gradient[n] + g) for n, g in second.gradient.items()}
        close(changes(second), expected)


@effect("nesterov")
def _nesterov(folder):
    given = PLAIN_SGD | {"momentum": 0.5}
    runs = {nesterov: trained(folder, **given, nesterov=nesterov) for nesterov in (True, False)}
    for nesterov, run in runs.items():
        assert all(options["nesterov"] is nesterov for options in run.steps[0].options.values())
        first, second, *_ = run.steps
        speed = {name: 0.5 * first.gradient[name] + g for name, g in second.gradient.items()}
        ahead = {name: g + 0.5 * speed[name] for name, g in second.gradient.items()}
        close(changes(second), {name: -0.05 * v for name, v in (ahead if nesterov else speed).items()})
    assert differ(runs[True].kept, runs[False].kept)


@effect("weight_decay")
def _weight_decay(folder):
    for decay in (0.0, 0.5):
        step = trained(folder, **PLAIN_SGD | {"weight_decay": decay}).steps[0]
        shrunk = {n: decay * v if n.endswith("weight") else torch.zeros_like(v) for n, v in step.before.items()}
        close(changes(step), {name: -0.05 * (g + shrunk[name]) for name, g in step.gradient.items()})


def adams_changes(steps, beta1, beta2, ams=False):
    """What Adam (arXiv:1412.6980), or AMSGrad (ams), makes of the gradients in the last step, rate 0.01."""
    expected = {}
    for name in steps[0].before:
        mean = square = largest = torch.zeros_like(steps[0].before[name])
        for step in steps:
            mean = beta1 * mean + (1 - beta1) * step.gradient[name]
            square = beta2 * square + (1 - beta2) * step.gradient[name] ** 2
            largest = torch.maximum(largest, square) if ams else square
        count = len(steps)
        scale = (largest / (1 - beta2**count)).sqrt() + 1e-8
        expected[name] = -0.01 * mean / (1 - beta1**count) / scale
    return expected


@effect("beta1")
def _beta1(folder):
    for beta1 in (0.5, 0.9):
        steps = trained(folder, **PLAIN_ADAM, beta1=beta1).steps[:3]
        close(changes(steps[-1]), adams_changes(steps, beta1, 0.999))


@effect("beta2")
def _beta2(folder):
    for beta2 in (0.6, 0.999):
        steps = trained(folder, **PLAIN_ADAM, beta2=beta2).steps[:3]
        close(changes(steps[-1]), adams_changes(steps, 0.9, beta2))


@effect("ams_gradient")
def _ams_gradient(folder):
    for ams in (False, True):
        steps = trained(folder, **PLAIN_ADAM, beta2=0.3, ams_gradient=ams).steps
        assert all(options["amsgrad"] is ams for options in steps[0].options.values())
        close(changes(steps[-1]), adams_changes(steps, 0.9, 0.3, ams))
        assert differ(adams_changes(steps, 0.9, 0.3, ams), adams_changes(steps, 0.9, 0.3, not ams))


@effect("evaluation_frequency")
def _evaluation_frequency(folder):
    for frequency, expected in ((1, [1, 2, 3, 4, 5, 6]), (4, [1, 5, 6])):
        run = trained(folder, number_of_epochs=6, evaluation_frequency=frequency)
        assert [event["epoch"] for event in run.told("epoch") if "metrics" in event] == expected


@effect("checkpoint_frequency")
def _checkpoint_frequency(folder):
    for frequency, expected in ((1, [1, 2, 3, 4, 5, 6]), (3, [1, 4, 6])):  # the epoch that a resumed training begins
        run = trained(folder, number_of_epochs=5, checkpoint_frequency=frequency)
        assert [event["epoch"] for event in run.told("checkpoint")] == expected


@effect("number_of_workers")
def _number_of_workers(folder):
    for workers in (0, 2):
        learner = Watched()
        learner.training_set = ReadBy(22, 0)
        run = trained(folder, learner, **ONE_EPOCH, number_of_workers=workers)
        readers = {process for batch in learner.trained_on for process in batch}
        assert len(readers) == max(1, workers)
        assert (os.getpid() in readers) == (workers == 0)
        assert run.told("started")[0]["number_of_workers"] == workers


@effect("random_seed")
def _random_seed(folder):
    learners = [Watched(), Watched(), Watched()]
    runs = [trained(folder, learner, random_seed=seed) for learner, seed in zip(learners, (3, 3, 4), strict=True)]
    assert learners[0].trained_on == learners[1].trained_on != learners[2].trained_on
    close(runs[0].kept, runs[1].kept, tolerance=0)
    assert differ(runs[0].kept, runs[2].kept)
    heads = [classifier(folder, random_seed=seed).model.network.classifier.weight for seed in (3, 3, 4)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@effect("log_training_metrics")
def _log_training_metrics(folder):
    names = {"certainty", "images"}
    for value, expected in (("Disable", names), ("Enable", names | {f"{name}_train" for name in names})):
        run = trained(folder, **ONE_EPOCH, log_training_metrics=value)
        assert set(run.told("epoch")[0]["metrics"]) == expected


@effect("log_validation_loss")
def _log_validation_loss(folder):
    assert trained(folder, **ONE_EPOCH, log_validation_loss="Disable").told("epoch")[0]["log_loss"] is None
    assert trained(folder, **ONE_EPOCH, log_validation_loss="Enable").told("epoch")[0]["log_loss"] > 0


@effect("ema")
def _ema(folder):
    given = ONE_EPOCH | {"learning_rate": 0.5}
    run = trained(folder, **given | {"ema": True})
    average = run.steps[0].before
    for number, step in enumerate(run.steps, start=1):
        share = 0.9999 * (1 - math.exp(-number / 6))  # six updates, see tests/training/test_ema.py
        average = {name: share * average[name] + (1 - share) * step.after[name] for name in average}
    close(run.kept, average)
    assert differ(run.kept, run.steps[-1].after)
    without = trained(folder, **given)
    close(without.kept, without.steps[-1].after, tolerance=0)


@effect("mixed_precision")
def _mixed_precision(folder):
    for value, expected in (("no", torch.float32), ("bf16", torch.bfloat16)):
        learner, seen = TinyLearner(), set()
        learner.model[0].register_forward_hook(lambda module, given, output, seen=seen: seen.add(output.dtype))
        trained(folder, learner, **ONE_EPOCH, mixed_precision=value)
        assert expected in seen
        assert (torch.bfloat16 in seen) == (value == "bf16")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="fp16 needs a CUDA device"):
            trained(folder, **ONE_EPOCH, mixed_precision="fp16")


@effect("compile")
def _compile(folder):
    for value in (False, True):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        run = trained(folder, TinyLearner(norm=False, dropout=0.0), **ONE_EPOCH, compile=value)
        assert (torch._dynamo.utils.counters["frames"]["ok"] > 0) is value
        assert run.result.status == "completed"


@effect("gradient_clip")
def _gradient_clip(folder):
    for bound in (0.001, 0.01):
        step = trained(folder, **ONE_EPOCH, gradient_clip=bound, gradient_clip_type="value").steps[0]
        assert max(float(g.abs().max()) for g in step.gradient.values()) == pytest.approx(bound)
    free = trained(folder, **ONE_EPOCH, gradient_clip=0).steps[0]
    assert max(float(g.abs().max()) for g in free.gradient.values()) > 0.01


@effect("gradient_clip_type")
def _gradient_clip_type(folder):
    for kind in ("value", "norm"):
        step = trained(folder, **ONE_EPOCH, gradient_clip=0.01, gradient_clip_type=kind).steps[0]
        norm = torch.cat([g.flatten() for g in step.gradient.values()]).norm()
        assert (float(norm) == pytest.approx(0.01, rel=1e-3)) == (kind == "norm")


@effect("soup")
def _soup(folder):
    scores = [0.1, 0.2, 0.3]
    run = trained(folder, ScriptedLearner([*scores, 0.4, 0.5, 0.5]), **FLAT, soup=3)
    assert run.result.averaged_epochs == [3, 2, 1]
    ends = [run.steps[last].after for last in (5, 11, 17)]
    mean = {name: (ends[0][name] + ends[1][name] + ends[2][name]) / 3 for name in ends[0]}
    close({name: run.kept[name] for name in mean}, mean)
    alone = trained(folder, ScriptedLearner(scores), **FLAT, soup=1)
    assert alone.result.averaged_epochs == []
    close({name: alone.kept[name] for name in mean}, alone.steps[-1].after)


@effect("distributed")
def _distributed_has_no_effect(folder):
    """A trial uses one device; the row is there so that job files of the service are accepted."""
    runs = [trained(folder, **ONE_EPOCH, distributed=value) for value in (True, False)]
    close(runs[0].kept, runs[1].kept, tolerance=0)
