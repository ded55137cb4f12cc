"""What a checkpoint of a training holds, and how training goes on from it; `checkpoint.py` has the files."""

from __future__ import annotations

import dataclasses
from typing import Any

from automl_images.core.errors import TrainingError
from automl_images.training.checkpoint import Checkpoints
from automl_images.training.epochs import Standing
from automl_images.training.evaluate import Evaluator
from automl_images.training.learner import Learner
from automl_images.training.rng import random_state, restore_random_state
from automl_images.training.settings import TrainingSettings
from automl_images.training.stepper import Stepper


@dataclasses.dataclass(frozen=True, slots=True)
class SavedState:
    """The parts of a training that a checkpoint is made of and gives back."""

    checkpoints: Checkpoints
    learner: Learner
    settings: TrainingSettings
    stepper: Stepper
    evaluator: Evaluator

    def save(self, standing: Standing, seconds: float) -> None:
        """Write a checkpoint; `seconds` of training so far, all runs together, join the standing."""
        self.checkpoints.save(
            {
                "identity": self._identity(),
                "standing": dataclasses.replace(standing, seconds=seconds).as_dict(),
                "stepper": self.stepper.state_dict(),
                "validation_parts": self.evaluator.parts,
                "random": random_state(),
            }
        )

    def resume(self) -> Standing | None:
        """Put everything back as it was at the newest whole checkpoint; None when there is none.

        Raises:
            TrainingError: the checkpoint is of another training.
        """
        state = self.checkpoints.load()
        if state is None:
            return None
        if state["identity"] != self._identity():
            raise TrainingError(
                f"Expected checkpoints of this training in {self.checkpoints.best.parent}, got those of other settings "
                "or data. Use a new folder or remove this one."
            )
        standing = Standing(**state["standing"])
        self.stepper.load_state_dict(state["stepper"])
        self.evaluator.parts = state["validation_parts"]
        self.checkpoints.settle_best(None if standing.best_epoch is None else standing.best_epoch + 1)
        restore_random_state(state["random"])
        return standing

    def _identity(self) -> dict[str, Any]:
        return {
            "settings": self.settings.identity(),
            "training_images": len(self.learner.training_set),
            "validation_images": len(self.learner.validation_set),
            "processes": self.stepper.accelerator.num_processes,
        }
