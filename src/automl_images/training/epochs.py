"""Plain bookkeeping of a training: where it stands, which epoch is best, whether to stop, and how long it will take.

No tensors: everything here goes into a checkpoint as it is.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping, Sized
from typing import Any, Literal

from automl_images.training.settings import TrainingSettings

Ending = Literal["completed", "out_of_time", "early_stopped", "stopped"]
"""All epochs done; max_training_minutes over; no improvement for too long; told to stop from outside."""


@dataclasses.dataclass(slots=True)
class Standing:
    """Where a training stands. Epochs are counted from 0 here and from 1 in everything that people see.

    Attributes:
        epoch: under way.
        step: batches of `epoch` that are done.
        loss_sum, images: sums over the images of `epoch` so far.
        best_epoch, best_score, best_metrics: of the best evaluation; None before the first.
        scores: of each evaluated epoch.
        no_progress: evaluations since the score last rose, counted from early_stopping_delay on.
        seconds: that earlier runs of this training took.
        evaluation_seconds, evaluations: sums over all runs.
        ended: why no further epoch begins; None while training.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    best_epoch: int | None = None
    best_score: float = 0.0
    best_metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    no_progress: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    evaluations: int = 0
    ended: Ending | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return dataclasses.asdict(self)

    @property
    def evaluation(self) -> float:
        """Mean seconds of an evaluation; 0 before the first."""
        return self.evaluation_seconds / max(1, self.evaluations)

    def add_evaluation(self, seconds: float) -> None:
        """Count an evaluation."""
        self.evaluation_seconds += seconds
        self.evaluations += 1

    def begin_next_epoch(self) -> None:
        """Count on by one epoch."""
        self.epoch, self.step, self.loss_sum, self.images = self.epoch + 1, 0, 0.0, 0

    def judge(self, score: float, metrics: Mapping[str, float], delay: int) -> bool:
        """Take an evaluation of the current epoch into account (specification, section G).

        Args:
            score: larger is better; not finite counts as 0.
            metrics: all that was measured.
            delay: epochs before progress is watched.

        Returns:
            True when it is the best so far; of equal scores the later one is.
        """
        score = score if math.isfinite(score) else 0.0
        self.scores[self.epoch] = score
        if self.best_epoch is None or score > self.best_score:
            self.no_progress = 0
        elif self.epoch >= delay:
            self.no_progress += 1
        is_best = self.best_epoch is None or score >= self.best_score
        if is_best:
            self.best_epoch, self.best_score, self.best_metrics = self.epoch, score, dict(metrics)
        return is_best


def is_due(epoch: int, frequency: int, settings: TrainingSettings) -> bool:
    """Tell whether an epoch (from 0) is evaluated: every `frequency`-th beginning with the first, and the last."""
    return epoch % frequency == 0 or epoch == settings.number_of_epochs - 1


def how_it_ends(standing: Standing, settings: TrainingSettings) -> Ending | None:
    """Return how training ends after the current epoch, None when it goes on.

    It stops early when more than `early_stopping_patience` evaluations in a row brought no better score: the service's
    rule for detection and segmentation, which holds for all tasks here (for classification the service stops one
    evaluation earlier). Without metrics there is nothing to watch.
    """
    if standing.epoch == settings.number_of_epochs - 1:
        return "completed"
    watching = settings.early_stopping and settings.compute_metrics
    return "early_stopped" if watching and standing.no_progress > settings.early_stopping_patience else None


class Meter:
    """Speed of the training part of one epoch."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._waited = 0.0
        self._images = 0

    def loaded(self, group: Iterable[Sized | None], seconds: float) -> None:
        """Count batches and the time that training waited for them."""
        self._waited += seconds
        self._images += sum(len(batch) for batch in group if batch is not None)

    @property
    def images_per_second(self) -> float:
        """Images so far per second so far."""
        return round(self._images / self._seconds(), 2)

    def as_dict(self) -> dict[str, float]:
        """Return fields of an `epoch` event; `data_wait` is the share of time spent waiting for data."""
        return {
            "images_per_second": self.images_per_second,
            "data_wait": round(self._waited / self._seconds(), 4),
            "seconds_training": round(self._seconds(), 2),
        }

    def _seconds(self) -> float:
        return max(time.monotonic() - self._begun, 1e-9)


@dataclasses.dataclass(slots=True)
class Pace:
    """Mean duration of steps in this run, from which the time that is left follows."""

    step_seconds: float = 0.0
    steps: int = 0

    def add_steps(self, seconds: float, steps: int) -> None:
        """Count training steps."""
        self.step_seconds += seconds
        self.steps += steps

    def seconds_left(self, standing: Standing, steps_per_epoch: int, settings: TrainingSettings) -> float | None:
        """Return an estimate for the rest of all epochs; None before the first step.

        Early stopping and a limit of time may end them sooner.
        """
        if self.steps == 0:
            return None
        epochs = range(standing.epoch, settings.number_of_epochs)
        steps = len(epochs) * steps_per_epoch - standing.step
        evaluations = sum(is_due(epoch, settings.evaluation_frequency, settings) for epoch in epochs)
        return round(steps * self.step_seconds / self.steps + evaluations * standing.evaluation, 1)

    def guess_of_evaluation(self, training_batch_size: int, validation_images: int) -> float:
        """Return what the first evaluation may take: an image half of what it takes in training, forth and back."""
        return 0.5 * validation_images * self.step_seconds / max(1, self.steps * training_batch_size)
