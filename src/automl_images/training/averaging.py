"""The end of a training with candidates: the average of good epochs in the place of the best one, if it is better."""

from __future__ import annotations

from torch import Tensor, nn

from automl_images.training.checkpoint import Checkpoints
from automl_images.training.epochs import Standing
from automl_images.training.evaluate import Evaluator
from automl_images.training.soup import Candidates


def average_epochs(
    candidates: Candidates,
    standing: Standing,
    model: nn.Module,
    evaluator: Evaluator,
    checkpoints: Checkpoints,
    metric: str,
) -> list[int]:
    """Put the average of good epochs in the place of the best one where it scores higher; return the epochs.

    Args:
        candidates: weights of good epochs.
        standing: with the score to beat; gets the average's where that is higher.
        model: takes the weights that are tried, and is left with some of them.
        evaluator: measures them.
        checkpoints: hold the best weights.
        metric: by which averages are compared.
    """
    assert standing.best_epoch is not None
    measured: dict[str, float] = {}

    def evaluate(weights: dict[str, Tensor]) -> float:
        model.load_state_dict(weights)
        metrics, _ = evaluator.evaluate(model)
        measured.update(metrics)
        return metrics.get(metric, 0.0)

    epochs, weights = candidates.average(standing.scores, evaluate)
    if len(epochs) > 1 and (score := evaluate(weights)) > standing.best_score:
        standing.best_score, standing.best_metrics = score, measured
        checkpoints.replace_best(model, standing.best_epoch + 1)
        return epochs
    return []
