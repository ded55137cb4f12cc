"""The part of the hyper-parameters that the trainer reads, in its types.

Names, ranges and defaults stand in `core/hyperparameters.py`; nothing here has a default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from automl_images.core.errors import SettingsError


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What `train` needs to know; every field but `compute_metrics` is the hyper-parameter of that name.

    Attributes:
        number_of_workers: None means "from the free cores".
        log_training_metrics, log_validation_loss: `Enable` is True.
        compute_metrics: False where `validation_metric_type` is `none`.
        gradient_clip: 0 means no clipping.
    """

    number_of_epochs: int
    max_training_minutes: float | None
    training_batch_size: int
    validation_batch_size: int
    gradient_accumulation_step: int
    early_stopping: bool
    early_stopping_patience: int
    early_stopping_delay: int
    learning_rate: float
    learning_rate_scheduler: str
    step_lr_gamma: float
    step_lr_step_size: int
    warmup_cosine_lr_cycles: float
    warmup_cosine_lr_warmup_epochs: int
    optimizer: str
    momentum: float
    weight_decay: float
    nesterov: bool
    beta1: float
    beta2: float
    ams_gradient: bool
    evaluation_frequency: int
    checkpoint_frequency: int
    number_of_workers: int | None
    random_seed: int
    log_training_metrics: bool
    log_validation_loss: bool
    ema: bool
    mixed_precision: str
    compile: bool
    gradient_clip_type: str
    gradient_clip: float
    layer_decay: float
    soup: int
    compute_metrics: bool

    @classmethod
    def from_hyperparameters(cls, resolved: Mapping[str, Any]) -> TrainingSettings:
        """Pick the trainer's part out of what `core.hyperparameters.resolve` returned."""
        names = {field.name for field in dataclasses.fields(cls)} - {"compute_metrics"}
        values = {name: resolved[name] for name in names}
        for switch in ("log_training_metrics", "log_validation_loss"):
            values[switch] = values[switch] == "Enable"
        return cls(**values, compute_metrics=resolved.get("validation_metric_type") != "none")

    def identity(self) -> dict[str, Any]:
        """Return what two runs must share for one to go on with the other's checkpoint."""
        values = dataclasses.asdict(self)
        del values["number_of_workers"]  # any number of workers gives the same samples
        return values


def require_precision(mixed_precision: str, device_type: str) -> None:
    """Check that a kind of device can do the arithmetic asked for.

    Raises:
        SettingsError: fp16 without CUDA, whose gradients nothing would scale.
    """
    if mixed_precision == "fp16" and device_type != "cuda":
        raise SettingsError(
            f"mixed_precision fp16 needs a CUDA device, the device is {device_type!r}. Use auto, no or bf16."
        )
