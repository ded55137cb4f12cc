"""Averaging the weights of good epochs where the average is better than the best of them.

The greedy recipe of Wortsman et al., "Model soups", arXiv:2203.05482, on the epochs of one training: the weights of the
best epochs are tried one after the other, best first, and each stays in the average if the validation metric does not
fall. Owns the files of the candidates; the trainer says what an epoch scored and evaluates an average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from automl_images.training.checkpoint import write_state

FOLDER = "candidates"


class Candidates:
    """The weights of the best epochs of one trial.

    Args:
        folder: the trial's folder.
        count: of epochs that are kept.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder / FOLDER
        self.count = count

    def add(self, model: nn.Module, epoch: int, scores: Mapping[int, float]) -> None:
        """Keep the weights of an epoch if it is among the best ones, and drop what no longer is.

        Args:
            model: as it was evaluated.
            epoch: that was evaluated.
            scores: of all epochs so far, by epoch; a run that repeats an epoch after a resume overwrites its file.
        """
        kept = best_epochs(scores, self.count)
        if epoch in kept:
            write_state(self._path(epoch), model)
        for path in self.folder.glob("*.safetensors"):
            if int(path.stem) not in kept:
                path.unlink()

    def average(
        self, scores: Mapping[int, float], evaluate: Callable[[dict[str, Tensor]], float]
    ) -> tuple[list[int], dict[str, Tensor]]:
        """Return the epochs whose average is best, and that average; nothing where the best epoch's file is missing.

        Files may be missing after a resume: the killed run dropped them for an epoch that the checkpoint does not know.

        Args:
            scores: of all epochs, by epoch.
            evaluate: gives the score of some weights.
        """
        first, *others = best_epochs(scores, self.count)
        if not self._path(first).is_file():
            return [], {}
        chosen, best = [first], scores[first]
        weights = load_file(self._path(first))
        for epoch in (epoch for epoch in others if self._path(epoch).is_file()):
            tried = _mean(weights, load_file(self._path(epoch)), len(chosen))
            score = evaluate(tried)
            if score >= best:
                chosen, best, weights = [*chosen, epoch], score, tried
        return chosen, weights

    def _path(self, epoch: int) -> Path:
        return self.folder / f"{epoch:05d}.safetensors"


def best_epochs(scores: Mapping[int, float], count: int) -> list[int]:
    """Return up to `count` epochs by falling score; of equal scores the later one comes first."""
    return sorted(scores, key=lambda epoch: (-scores[epoch], -epoch))[:count]


def _mean(weights: Mapping[str, Tensor], added: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the mean of `count + 1` sets of weights, of which `weights` is the mean of the first `count`."""
    return {
        name: torch.lerp(value, added[name], 1 / (count + 1)) if value.is_floating_point() else value
        for name, value in weights.items()
    }
