"""The learning rate as a function of how far training is: no state, hence nothing to restore.

Source: specification, section G. Steps count batches, not changes of the weights. The first batch has rate 0, so with
`gradient_accumulation_step` 1 the first change of the weights is none; on tiny sets (one or two batches an epoch)
that is a noticeable part of the warm-up.
"""

from __future__ import annotations

import math

from automl_images.training.settings import TrainingSettings

COOL_DOWN = 0.25
"""Share of a limited time in which the rate falls to zero, as in schedules with a decay at the end (arXiv:2405.18392).

A schedule that is pressed into the time instead has a low rate for half of it, which is worse while all is still new.
"""


def learning_rate_factor(settings: TrainingSettings, step: int, steps_per_epoch: int, time_used: float = 0.0) -> float:
    """Return what the peak learning rate is multiplied by.

    Args:
        settings: scheduler, its shape, and the number of epochs.
        step: number of the batch from the beginning of training, from 0.
        steps_per_epoch: batches in an epoch.
        time_used: share of `max_training_minutes`, in [0, 1]; in its last quarter the rate falls to zero as well.

    Returns:
        A factor in [0, 1].
    """
    if settings.learning_rate_scheduler == "none":
        return 1.0
    cool_down = min(1.0, (1.0 - time_used) / COOL_DOWN)
    if settings.learning_rate_scheduler == "step":
        return cool_down * settings.step_lr_gamma ** (step // steps_per_epoch // settings.step_lr_step_size)
    warmup = settings.warmup_cosine_lr_warmup_epochs * steps_per_epoch
    total = settings.number_of_epochs * steps_per_epoch
    return cool_down * warmup_cosine(step, warmup, total, settings.warmup_cosine_lr_cycles)


def warmup_cosine(step: int, warmup: int, total: int, cycles: float) -> float:
    """Return a linear rise over `warmup` steps, then `cycles` waves of a cosine up to step `total`."""
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * cycles * progress)))
