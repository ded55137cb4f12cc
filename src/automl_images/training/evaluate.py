"""Passes over labelled images without learning: metrics and loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from automl_images.core.errors import DataError
from automl_images.training.learner import Batch, ImageSet, Learner
from automl_images.training.loading import Loader, PlainOrder
from automl_images.training.memory import attempt, smaller
from automl_images.training.rng import isolated
from automl_images.training.settings import TrainingSettings


class Evaluator:
    """Evaluates a network on the validation images and, where log_training_metrics is on, the training images.

    Several processes share the work and get the same numbers.

    Args:
        learner: its data and yardstick.
        settings: what is measured.
        accelerator: device and processes.
        workers: processes that load images.
        on_smaller: called with the new number of parts and the images of the batch that did not fit.
        check: called before each batch; may raise to leave.

    Attributes:
        loaders: by the suffix of their metrics' names.
        parts: into how many pieces a batch is cut for want of memory.
    """

    def __init__(
        self,
        learner: Learner,
        settings: TrainingSettings,
        accelerator: Accelerator,
        workers: int,
        on_smaller: Callable[[int, int], None],
        check: Callable[[], None],
    ) -> None:
        self._learner, self._settings, self._accelerator = learner, settings, accelerator
        self._on_smaller, self._check = on_smaller, check
        self.parts = 1
        self.loaders = {"": self._loader(learner.validation_set, workers)}
        if settings.log_training_metrics and settings.compute_metrics:
            self.loaders["_train"] = self._loader(learner.unaugmented_training_set, workers)

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float | None]:
        """Return all metrics (those of training images end in `_train`) and the validation loss.

        Metrics are empty when none are computed, the loss is None when it is not logged.

        Raises:
            DataError: not one image can be read.
            TrainingError: memory does not suffice for a single image.
        """
        metrics: dict[str, float] = {}
        losses: list[float | None] = []
        for suffix, loader in self.loaders.items():
            wants_loss = self._settings.log_validation_loss and not suffix
            if self._settings.compute_metrics or wants_loss:
                with isolated(self._settings.random_seed):
                    found, loss = self._pass(model, loader, wants_loss)
                metrics |= {name + suffix: value for name, value in found.items()}
                losses.append(loss)
        return metrics, losses[0] if losses else None

    @torch.no_grad()
    def _pass(self, model: nn.Module, loader: Loader, wants_loss: bool) -> tuple[dict[str, float], float | None]:
        was_training = model.training
        model.eval()
        try:
            pieces = list(self._pieces(model, loader, wants_loss))
        finally:
            model.train(was_training)
        if self._accelerator.num_processes > 1:
            pieces = gather_object(pieces)
        images = sum(piece.images for piece in pieces)
        if images == 0:
            raise DataError("No image could be read for evaluation. Look at the warnings above and check the files.")
        loss = sum(piece.loss * piece.images for piece in pieces) / images if wants_loss else None
        if not self._settings.compute_metrics:
            return {}, loss
        predictions = [item for piece in pieces for item in piece.predictions]
        truths = [item for piece in pieces for item in piece.truths]
        return self._learner.metrics(predictions, truths), loss

    def _pieces(self, model: nn.Module, loader: Loader, wants_loss: bool) -> Iterator[_Judged]:
        for batch in loader:
            self._check()
            if batch is not None:
                yield from self._judge(model, batch, wants_loss)

    def _judge(self, model: nn.Module, batch: Batch, wants_loss: bool) -> list[_Judged]:
        def work() -> list[_Judged]:
            pieces: Sequence[Batch] = batch.split(self.parts) if self.parts > 1 else [batch]
            return [self._judge_piece(model, piece, wants_loss) for piece in pieces]

        while (judged := attempt(work)) is None:
            self.parts = smaller(self.parts, len(batch), "validation_batch_size")
            self._on_smaller(self.parts, len(batch))
        return judged

    def _judge_piece(self, model: nn.Module, piece: Batch, wants_loss: bool) -> _Judged:
        on_device = piece.to(self._accelerator.device, non_blocking=True)
        loss = sum(float(part) for part in self._learner.losses(model, on_device).values()) if wants_loss else 0.0
        if not self._settings.compute_metrics:
            return _Judged([], [], loss, len(piece))
        return _Judged(self._learner.predict(model, on_device), self._learner.truths(piece), loss, len(piece))

    def _loader(self, images: ImageSet, workers: int) -> Loader:
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        order = PlainOrder(len(images), self._settings.validation_batch_size, rank, world)
        on_cuda = self._accelerator.device.type == "cuda"
        return Loader(images, order, self._learner.collate, workers=workers, pin_memory=on_cuda)


@dataclasses.dataclass(frozen=True, slots=True)
class _Judged:
    predictions: list[Any]
    truths: list[Any]
    loss: float
    images: int
