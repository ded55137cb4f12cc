"""The clock of a training that `max_training_minutes` limits: how much time is used, and what the rest allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from automl_images.training.settings import TrainingSettings

_OF_A_RUN = {"progress", "epoch", "checkpoint", "interrupted"}


class TimeLimit:
    """Tells how much time is used; without a limit none ever is.

    Args:
        settings: limit, and how many models are evaluated in the end: the last one, and those of a soup.
        lost: seconds of earlier runs of this training that its checkpoint does not know of.
    """

    def __init__(self, settings: TrainingSettings, lost: float = 0.0) -> None:
        minutes = settings.max_training_minutes
        self._seconds = math.inf if minutes is None else 60.0 * minutes
        self._evaluations = settings.soup
        self._lost = lost

    def left(self, seconds: float) -> float:
        """Return what is left after `seconds` of training; infinite without a limit."""
        return self._seconds - self._lost - seconds

    def used(self, seconds: float, evaluation: float) -> float:
        """Return the share of the time for training steps that `seconds` are, in [0, 1]; 0 without a limit.

        Args:
            seconds: of training so far.
            evaluation: seconds that one takes; those at the end are set aside.
        """
        for_steps = self._seconds - self._evaluations * evaluation
        return min(1.0, (seconds + self._lost) / for_steps) if for_steps > 0 else 1.0

    def allows_evaluation(self, seconds: float, evaluation: float) -> bool:
        """Tell whether an evaluation now leaves as much time for training as those at the end take."""
        return self.left(seconds) >= (1 + 2 * self._evaluations) * evaluation


def seconds_of_runs(events: Iterable[Mapping[str, Any]]) -> float:
    """Return how long earlier runs of a training worked, by the times in its log."""
    seconds, begun = 0.0, None
    for event in events:
        if event["event"] == "started":
            begun = event["time"]
        elif event["event"] in _OF_A_RUN and begun is not None:
            seconds, begun = seconds + max(0.0, event["time"] - begun), event["time"]
    return seconds
