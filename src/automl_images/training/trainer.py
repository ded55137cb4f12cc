"""Training from beginning to end; blind to what is being learnt.

Owns what comes before and after the loop: a trial that is finished already, how many processes load images, another go
without them when one dies, and what is told when training fails. The order of things in one go stands in `run.py`.

Events (`core/events.py`): `started`, `progress` (at most every two seconds), `epoch`, `checkpoint`,
`batch_size_reduced`, `batch_skipped`, `images_left_out` (once a trial), `loader_failed`, `checkpoint_unusable`,
`interrupted`, `finished`, `failed`.
Epochs are counted from 1. After a resume the events of repeated epochs come again, with the same values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch

from automl_images.core.errors import AutoMLImagesError, DiskFullError, Interrupted, TrainingError
from automl_images.core.events import EventLog
from automl_images.training.interruption import Interruption
from automl_images.training.learner import Learner
from automl_images.training.result import TrialResult
from automl_images.training.run import TrainingRun
from automl_images.training.settings import TrainingSettings
from automl_images.training.threads import available_cores, plan_workers


def train(
    learner: Learner,
    settings: TrainingSettings,
    folder: Path,
    *,
    events: EventLog,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[str], None] | None = None,
) -> TrialResult:
    """Train `learner.model`, or go on where an earlier call with the same folder was interrupted.

    The folder gets `best.safetensors` (weights of the best epoch), `checkpoints/` and, at the end, `result.json`; when
    the last is there already it is returned and nothing is trained. With the same seed, on the same machine's CPU, a
    training that was killed and resumed ends with the same weights as one that was not; with `max_training_minutes` it
    ends in the same time.

    Args:
        learner: model, data and yardstick.
        settings: of the trainer.
        folder: of this trial alone.
        events: where the course of the training is told.
        stop: asked after every step; True ends the training with what is best so far (a policy or a time limit).
        progress: given one line of text for every `progress` and `epoch` event.

    Returns:
        The outcome. `learner.model` holds the last weights, not the best ones.

    Raises:
        TrainingError: non-finite or too large loss, no memory for a single image, nothing to train, or the folder
            holds checkpoints of another training.
        DataError: no training image of an epoch, or no validation image, can be read.
        SettingsError: the device cannot do the precision asked for.
        Interrupted: SIGINT or SIGTERM came; the state is saved.
    """
    if (done := TrialResult.load(folder)) is not None:
        return done
    if len(learner.training_set) == 0 or len(learner.validation_set) == 0:
        raise TrainingError("Expected training and validation images, got none of one of them.")
    workers = settings.number_of_workers
    if workers is None:
        workers = plan_workers(available_cores(), has_accelerator=torch.accelerator.is_available())
    try:
        with Interruption() as interruption:
            for count in (workers, 0):
                run = TrainingRun(learner, settings, folder, events, count, interruption, stop, progress)
                if (result := run.run()) is not None:
                    return result
        raise AssertionError("a training without loader processes cannot lose one")
    except Interrupted:
        raise
    except Exception as error:
        is_final = isinstance(error, AutoMLImagesError)  # ours come again with the same input; a surprise may not
        with contextlib.suppress(DiskFullError):  # the log's disk may be the full one
            events.write("failed", kind=type(error).__name__, reason=str(error), is_final=is_final)
        raise
