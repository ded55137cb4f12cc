"""What a training came to; the file `result.json` of a trial's folder. No torch here: parents of trials read it too."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from automl_images.core.files import read_json, write_json

RESULT = "result.json"


@dataclasses.dataclass(frozen=True, slots=True)
class TrialResult:
    """The outcome of a training that ended by itself or was told to stop.

    Attributes:
        status: `completed` all epochs, `out_of_time` by max_training_minutes, `early_stopped` for want of improvement,
            `stopped` from outside.
        best_epoch: counted from 1; its weights are `best.safetensors`, unless they are an average.
        averaged_epochs: counted from 1; the epochs whose mean `best.safetensors` is, empty where it is one epoch's.
        epochs: epochs that were completed.
        seconds: of training and evaluation, all runs of a resumed training together.
        metrics: of the best weights; None where a metric has no finite value.
        primary_metric: of the best weights; 0.0 where no metric is computed.
    """

    status: Literal["completed", "out_of_time", "early_stopped", "stopped"]
    best_epoch: int
    epochs: int
    seconds: float
    metrics: dict[str, float | None]
    primary_metric: float
    averaged_epochs: list[int] = dataclasses.field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write `result.json` atomically."""
        write_json(folder / RESULT, dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> TrialResult | None:
        """Return the result of a finished trial, None while there is none."""
        path = folder / RESULT
        return cls(**read_json(path)) if path.exists() else None


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics that JSON can hold: NaN and infinity become None."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
