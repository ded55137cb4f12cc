"""One trial: what it is asked to do, and what came of it. A trial's folder holds both.

`trial.json` the request, `events.jsonl` its log, `result.json` the outcome, `best.safetensors` the best weights,
`checkpoints/` where it can go on, `console.log` what the process printed, `stop.json` why it shall end at once.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from automl_images.core.files import read_json, write_json

REQUEST, EVENTS, RESULT, WEIGHTS, CONSOLE, STOP = (
    "trial.json",
    "events.jsonl",
    "result.json",
    "best.safetensors",
    "console.log",
    "stop.json",
)

DEFAULT_RECIPE = "default"
"""AutoMode's name for what a run without a sweep would train."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrialRequest:
    """Everything a trial's process needs to know.

    Attributes:
        number: from 0.
        task: pipeline name.
        model_name: name in the catalogue.
        hyperparameters: resolved values of the table.
        classes: sorted class names.
        training_table, validation_table: folders of the MLTables.
        data_hash: of both sides; the process refuses to train on other data.
        augmentation_plan: the plan's content.
        primary_metric: the yardstick; larger is better.
        recipe: AutoMode's name for what is tried; empty in other jobs.
    """

    number: int
    task: str
    model_name: str
    hyperparameters: dict[str, Any]
    classes: list[str]
    training_table: str
    validation_table: str
    data_hash: str
    augmentation_plan: dict[str, Any]
    primary_metric: str
    recipe: str = ""

    def save(self, folder: Path) -> None:
        """Write the request into the trial's folder."""
        write_json(folder / REQUEST, dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> TrialRequest:
        """Read the request of a trial's folder."""
        return cls(**read_json(folder / REQUEST))


@dataclasses.dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What came of a trial.

    Attributes:
        number, model_name, hyperparameters: as requested.
        status: `Completed`, `Failed` or `Canceled`.
        folder: of the trial.
        epochs: finished; best_epoch: of the best weights, from 1; seconds: of training.
        metrics: at the best epoch; empty when none was reached.
        score: the primary metric at the best epoch; None: it came to none.
        recipe: as requested.
        note: cause of a failure, why it was stopped, warnings about weights.
    """

    number: int
    model_name: str
    hyperparameters: dict[str, Any]
    status: str
    folder: Path
    epochs: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    score: float | None = None
    recipe: str = ""
    note: str = ""

    def as_row(self, primary_metric: str) -> dict[str, Any]:
        """Return one line of the leaderboard."""
        return {
            "trial": self.number,
            "status": self.status,
            "model_name": self.model_name,
            primary_metric: self.metrics.get(primary_metric),
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 1),
            **({"recipe": self.recipe} if self.recipe else {}),
            **self.hyperparameters,
            "note": self.note,
            "folder": str(self.folder),
        }
