"""Watching the training loss without making the device wait for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from automl_images.core.errors import TrainingError
from automl_images.training.epochs import Standing

LARGEST_LOSS = 100.0
"""Above it training counts as diverged (specification A.5)."""


class LossWatch:
    """Adds losses to a `Standing`, each one step late, so that reading it does not stop the device's queue."""

    def __init__(self) -> None:
        self._pending: tuple[Tensor, int, int, list[str]] | None = None

    def add(self, standing: Standing, loss: Tensor, image_ids: Sequence[str]) -> None:
        """Note the loss of the step that ends at `standing.step` and check the one before.

        Raises:
            TrainingError: the loss of the step before is not finite or too large.
        """
        self.settle(standing)
        self._pending = (loss, standing.epoch + 1, standing.step, list(image_ids))

    def settle(self, standing: Standing) -> None:
        """Check the last loss; after it `standing` is complete and may be saved."""
        if self._pending is None:
            return
        loss, epoch, step, image_ids = self._pending
        self._pending = None
        value = float(loss)
        if not math.isfinite(value) or value > LARGEST_LOSS:
            raise TrainingError(
                f"The loss is {value:g} in step {step} of epoch {epoch} (expected a number up to {LARGEST_LOSS:g}). "
                f"Lower learning_rate, for example to 0.0001, or look at the images: {', '.join(image_ids)}."
            )
        standing.loss_sum += value * len(image_ids)
        standing.images += len(image_ids)
