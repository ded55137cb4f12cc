"""Averaging the weights of good epochs."""

import torch
from safetensors.torch import load_file
from tiny_learner import ScriptedLearner, TinyLearner, settings
from torch import nn

from automl_images.core.events import EventLog
from automl_images.training.soup import Candidates, best_epochs
from automl_images.training.trainer import train


def test_the_best_epochs_come_first_and_of_equals_the_later():
    assert best_epochs({0: 0.1, 1: 0.5, 2: 0.5, 3: 0.2}, 3) == [2, 1, 3]


def _filled(value):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_an_epoch_stays_in_the_average_only_if_it_does_no_harm(tmp_path):
    """The target is a weight of 2: the mean of 1 and 3 reaches it, 9 leads away."""
    candidates, scores = Candidates(tmp_path, 3), {}
    for epoch, weight in enumerate([1.0, 9.0, 3.0]):
        scores[epoch] = -abs(weight - 2.0)
        candidates.add(_filled(weight), epoch, scores)
    chosen, weights = candidates.average(scores, lambda state: -abs(float(state["weight"]) - 2.0))
    assert (chosen, float(weights["weight"])) == ([2, 0], 2.0)


def test_candidates_that_an_unknown_epoch_drove_out_are_passed_over(tmp_path):
    """The run was killed after it had dropped a file, before it wrote a checkpoint that says so."""
    candidates, scores = Candidates(tmp_path, 3), {}
    for epoch, weight in enumerate([1.0, 9.0, 3.0]):
        scores[epoch] = -abs(weight - 2.0)
        candidates.add(_filled(weight), epoch, scores)

    def evaluate(state):
        return -abs(float(state["weight"]) - 2.0)

    candidates.add(_filled(2.0), 3, scores | {3: 0.0})  # epoch 1 goes
    assert not (candidates.folder / "00001.safetensors").exists()
    chosen, weights = candidates.average(scores, evaluate)
    assert (chosen, float(weights["weight"])) == ([2, 0], 2.0)
    (candidates.folder / "00002.safetensors").unlink()
    assert candidates.average(scores, evaluate) == ([], {})


def test_a_training_without_the_file_of_its_best_epoch_keeps_that_epochs_weights(tmp_path):
    class Losing(ScriptedLearner):
        def metrics(self, predictions, truths):
            for path in (tmp_path / "candidates").glob("00001.safetensors"):
                path.unlink()
            return super().metrics(predictions, truths)

    learner = Losing([0.4, 0.8, 0.6])
    result = train(learner, settings(soup=3, ema=False), tmp_path, events=EventLog(tmp_path / "events.jsonl"))
    assert (result.averaged_epochs, result.primary_metric, result.best_epoch) == ([], 0.8, 2)


def test_only_the_best_are_kept_on_disk(tmp_path):
    candidates, scores = Candidates(tmp_path, 2), {}
    for epoch, score in enumerate([0.1, 0.9, 0.5, 0.2]):
        scores[epoch] = score
        candidates.add(_filled(score), epoch, scores)
    assert sorted(path.stem for path in candidates.folder.iterdir()) == ["00001", "00002"]


def test_a_training_ends_with_the_average_where_it_scores_higher(tmp_path):
    learner = ScriptedLearner([0.4, 0.8, 0.6, 0.9, 0.7, 0.9])  # three epochs; two averages tried; the first again
    result = train(learner, settings(soup=3, ema=False), tmp_path, events=EventLog(tmp_path / "events.jsonl"))
    assert result.averaged_epochs == [2, 3]
    assert (result.primary_metric, result.best_epoch) == (0.9, 2)
    parts = [load_file(tmp_path / "candidates" / f"0000{epoch}.safetensors") for epoch in (1, 2)]
    best = load_file(tmp_path / "best.safetensors")
    torch.testing.assert_close(best["0.weight"], (parts[0]["0.weight"] + parts[1]["0.weight"]) / 2)


def test_a_training_keeps_its_best_epoch_where_the_average_is_no_better(tmp_path):
    learner = ScriptedLearner([0.4, 0.8, 0.6, 0.1, 0.1])
    result = train(learner, settings(soup=3, ema=False), tmp_path, events=EventLog(tmp_path / "events.jsonl"))
    assert (result.averaged_epochs, result.primary_metric) == ([], 0.8)
    alone = load_file(tmp_path / "candidates" / "00001.safetensors")
    torch.testing.assert_close(load_file(tmp_path / "best.safetensors")["0.weight"], alone["0.weight"])


def test_real_metrics_never_fall(tmp_path):
    result = train(TinyLearner(), settings(soup=3), tmp_path / "a", events=EventLog(tmp_path / "a.jsonl"))
    alone = train(TinyLearner(), settings(), tmp_path / "b", events=EventLog(tmp_path / "b.jsonl"))
    assert result.primary_metric >= alone.primary_metric
