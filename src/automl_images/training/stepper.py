"""One change of the weights: device, precision, model, optimiser, clipping and moving average, through Accelerate.

Knows batches and nothing of epochs, schedules, files or metrics: `run.py` calls it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn

from automl_images.core.errors import TrainingError
from automl_images.training.ema import WeightAverage
from automl_images.training.learner import Batch, Learner
from automl_images.training.memory import attempt
from automl_images.training.optimizers import make_optimizer, peak_learning_rate
from automl_images.training.settings import TrainingSettings, require_precision

_ONE_VALUE = "Expected more than 1 value per channel when training"
"""How torch begins what it says of a batch norm whose maps are one pixel, given one image."""


class Stepper:
    """The learner's network made ready for training on the device that Accelerate finds.

    Attributes:
        accelerator: Accelerate's entry point; knows the device and the other processes.
        parts: into how many pieces a training batch is cut for want of memory; gradients of the pieces add up, so
            the effective batch stays.
    """

    def __init__(self, learner: Learner, settings: TrainingSettings) -> None:
        self._learner, self._settings = learner, settings
        self.accelerator = _accelerator(settings.mixed_precision)
        self.parts = 1
        network = learner.model.to(self.accelerator.device)
        if self.accelerator.device.type in {"cpu", "cuda"}:  # a third less time on CPU, see docs/benchmarks.md
            network.to(memory_format=torch.channels_last)
        self._average = WeightAverage(network, self._expected_updates()) if settings.ema else None
        self._peak_rate = peak_learning_rate(settings, self.accelerator.num_processes)
        optimizer = make_optimizer(network, settings, self.accelerator.num_processes)
        if settings.compile:
            network.compile()
        self._network = network
        self._model = self.accelerator.prepare_model(network)
        self._optimizer = self.accelerator.prepare_optimizer(optimizer)
        if self._average is not None:
            self.accelerator.prepare_model(self._average.module, evaluation_mode=True)

    @property
    def best_model(self) -> nn.Module:
        """The network that is evaluated and kept: the moving average where there is one."""
        return self._network if self._average is None else self._average.module

    def train_mode(self) -> None:
        """Switch the network to training; the moving average always stays in eval mode."""
        self._model.train()

    def gradients(self, batches: Sequence[Batch]) -> Tensor | None:
        """Add up the gradients of batches that make one change of the weights.

        The loss is the mean over all images of `batches`, so that accumulation equals one large batch also where the
        last batch is smaller.

        Returns:
            The loss, `()` on the device; None when memory did not suffice (no gradient is left then).
        """
        loss = attempt(lambda: self._add_gradients(batches))
        if loss is None:
            self._optimizer.zero_grad()
        return loss

    def change_weights(self, factor: float) -> float:
        """Clip the gradients, let the optimiser act and update the moving average.

        Args:
            factor: of the schedule, times the peak learning rate.

        Returns:
            The learning rate of the layers that learn fastest.
        """
        rate = self._peak_rate * factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self._clip()
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self._network)
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes from step to step, as tensors and plain values."""
        scaler = self.accelerator.scaler
        return {
            "model": self._network.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "parts": self.parts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._network.load_state_dict(state["model"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.parts = state["parts"]

    def close(self) -> None:
        """Give the learner its network back as it was, without wrappers, with the weights of now."""
        self.accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()

    def _expected_updates(self) -> int:
        """Return about how often the weights will change: images of one shape that train together may add a few."""
        settings = self._settings
        together = settings.training_batch_size * settings.gradient_accumulation_step * self.accelerator.num_processes
        return settings.number_of_epochs * math.ceil(len(self._learner.training_set) / together)

    def _add_gradients(self, batches: Sequence[Batch]) -> Tensor:
        pieces = [piece for batch in batches for piece in (batch.split(self.parts) if self.parts > 1 else [batch])]
        images = sum(len(piece) for piece in pieces)
        total = torch.zeros((), device=self.accelerator.device)
        for number, piece in enumerate(pieces, start=1):
            is_last = number == len(pieces)
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self._model):
                losses = self._losses(piece)
                loss = torch.stack([value.float() for value in losses.values()]).sum() * (len(piece) / images)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _losses(self, piece: Batch) -> Mapping[str, Tensor]:
        try:
            return self._learner.losses(self._model, piece.to(self.accelerator.device, non_blocking=True))
        except ValueError as error:
            if len(piece) > 1 or not str(error).startswith(_ONE_VALUE):
                raise
            raise _lone_image(self._settings.training_batch_size, self.parts) from error

    def _clip(self) -> None:
        bound = self._settings.gradient_clip
        if bound == 0:
            return
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        if self._settings.gradient_clip_type == "norm":
            self.accelerator.clip_grad_norm_(parameters, bound)
        else:
            self.accelerator.clip_grad_value_(parameters, bound)


def _lone_image(batch_size: int, parts: int) -> TrainingError:
    """Return the error of a model that cannot train on one image.

    Args:
        batch_size: training_batch_size as set.
        parts: into how many pieces a batch is cut for want of memory.
    """
    reason, remedy = "", "Set training_batch_size to 2 or more, or take another model."
    if parts > 1:
        reason = f", cut into {parts} parts for want of memory"
        remedy = "Use smaller images, mixed precision, a device with more memory, or another model."
    elif batch_size > 1:
        reason = ", of which no other image could be read"
        remedy = "Bring the files back, raise training_batch_size, or take another model."
    return TrainingError(
        "Expected at least 2 images in a training step, as this model has norm layers that need them, got 1 "
        f"(training_batch_size is {batch_size}{reason}). {remedy}"
    )


def _accelerator(mixed_precision: str) -> Accelerator:
    AcceleratorState._reset_state()  # an earlier training of this process may have had another precision
    device_type = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device.type
    require_precision(mixed_precision, device_type)
    if mixed_precision == "auto":
        mixed_precision = _best_precision(device_type)
    return Accelerator(mixed_precision=mixed_precision)


def _best_precision(device_type: str) -> str:
    if device_type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
