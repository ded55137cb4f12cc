"""The training loop: epochs, evaluation, the best weights, checkpoints, events.

Owns the order of things. The change of the weights stands in `stepper.py`, the data in `loading.py`, the evaluation in
`evaluate.py`, what a checkpoint holds in `saved_state.py`, its files in `checkpoint.py`, bookkeeping in `epochs.py`.
Source: specification, section G; unlike there the weights that are evaluated are the ones that are kept, also with a
moving average. Several processes (DDP) go through the same code; one process is what the tests cover.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from automl_images.core.errors import Interrupted, TrainingError
from automl_images.core.events import EventLog, read_events
from automl_images.core.failpoints import failpoint
from automl_images.training.announcing import Announcer
from automl_images.training.averaging import average_epochs
from automl_images.training.checkpoint import Checkpoints
from automl_images.training.epochs import Meter, Pace, Standing, how_it_ends, is_due
from automl_images.training.evaluate import Evaluator
from automl_images.training.interruption import Interruption, StopRequested
from automl_images.training.learner import Batch, Learner
from automl_images.training.left_out import LeftOut
from automl_images.training.loading import Loader, TrainingOrder, is_loader_failure
from automl_images.training.losses import LossWatch
from automl_images.training.memory import smaller
from automl_images.training.result import TrialResult, finite
from automl_images.training.rng import seed_everything
from automl_images.training.saved_state import SavedState
from automl_images.training.schedules import learning_rate_factor
from automl_images.training.settings import TrainingSettings
from automl_images.training.soup import Candidates
from automl_images.training.stepper import Stepper
from automl_images.training.threads import plan_threads
from automl_images.training.time_limit import TimeLimit, seconds_of_runs

SAVE_SECONDS = 300.0
"""Within long epochs a checkpoint is written when the last one is older: a power cut costs minutes."""


class TrainingRun:
    """One run of a training; see `trainer.train` for the arguments."""

    def __init__(
        self,
        learner: Learner,
        settings: TrainingSettings,
        folder: Path,
        events: EventLog,
        workers: int,
        interruption: Interruption,
        stop: Callable[[], bool] | None,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._learner, self._settings, self._folder = learner, settings, folder
        self._workers, self._interruption, self._stop = workers, interruption, stop
        seed_everything(settings.random_seed)
        self._checkpoints = Checkpoints(folder, events)
        self._candidates = Candidates(folder, settings.soup) if settings.soup > 1 else None
        self._stepper = Stepper(learner, settings)
        self._accelerator = self._stepper.accelerator
        self._announcer = Announcer(events, progress, self._accelerator.is_main_process)
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        images = len(learner.training_set)
        batch_size, seed, groups = settings.training_batch_size, settings.random_seed, learner.training_set.shape_groups
        self._order = TrainingOrder(images, batch_size, seed, rank, world, groups)
        self._steps = len(self._order)
        self._accumulation = min(settings.gradient_accumulation_step, self._steps)
        on_cuda = self._accelerator.device.type == "cuda"
        self._loader = Loader(learner.training_set, self._order, learner.collate, workers=workers, pin_memory=on_cuda)
        self._evaluator = Evaluator(
            learner, settings, self._accelerator, workers, self._smaller_validation, interruption.check
        )
        self._saved = SavedState(self._checkpoints, learner, settings, self._stepper, self._evaluator)
        self._standing, self._watch, self._pace = Standing(), LossWatch(), Pace()
        earlier = read_events(events.path)
        self._limit, self._earlier = TimeLimit(settings), seconds_of_runs(earlier)
        self._left_out = LeftOut(self._loader, earlier)
        self._begun = self._saved_at = time.monotonic()
        self._rate = 0.0

    def run(self) -> TrialResult | None:
        """Run to the end and close everything; None when a loader process died or hung (the state is on disk).

        Raises:
            Interrupted: a signal came; the state is saved.
        """
        try:
            self._begin()
            while self._standing.ended is None:
                self._epoch()
            return self._finish()
        except StopRequested:
            self._save()
            raise self._interrupted() from None
        except RuntimeError as error:
            if not self._workers or not is_loader_failure(error):
                raise
            reading = sorted({name for loader in self._loaders() for name in loader.images_being_read()})
            self._announcer.tell_loader_failure(error, reading)
        finally:
            for loader in self._loaders():
                loader.close()
            self._stepper.close()
        return None

    def _begin(self) -> None:
        found = self._saved.resume()
        self._standing = found or self._standing
        self._limit = TimeLimit(self._settings, lost=max(0.0, self._earlier - self._standing.seconds))
        self._tell_started(resumed=found is not None)
        if found is None:
            self._checkpoints.settle_best(None)
            self._save()  # shows that the folder can be written before time is spent, and is where retries begin

    def _save(self) -> None:
        """Write a checkpoint of now."""
        self._watch.settle(self._standing)
        self._saved_at = time.monotonic()
        if self._accelerator.is_main_process:
            self._saved.save(self._standing, self._seconds())
            self._announcer.tell("checkpoint", epoch=self._standing.epoch + 1, step=self._standing.step)

    def _epoch(self) -> None:
        standing, settings = self._standing, self._settings
        fields = {"epoch": standing.epoch + 1, "epochs": settings.number_of_epochs, **self._train_steps()}
        if standing.ended and standing.best_epoch is not None:
            self._save()
            return
        begun, time_is_up = time.monotonic(), self._time_is_up
        if standing.ended or time_is_up or self._evaluates_now():
            fields |= self._evaluate()
            standing.add_evaluation(time.monotonic() - begun)
        if standing.ended is None:
            is_over = time_is_up or self._time_is_up
            standing.ended = how_it_ends(standing, settings) or ("out_of_time" if is_over else None)
            standing.begin_next_epoch()
        fields["seconds"] = round(fields["seconds_training"] + time.monotonic() - begun, 2)
        self._announcer.tell_epoch(**fields, eta_seconds=self._seconds_left())
        if standing.ended or standing.epoch % settings.checkpoint_frequency == 0:
            self._save()

    def _train_steps(self) -> dict[str, Any]:
        """Train the rest of the epoch; return what was measured."""
        standing, meter = self._standing, Meter()
        self._order.epoch, self._order.first_batch = standing.epoch, standing.step
        self._stepper.train_mode()
        batches = iter(self._loader) if standing.step < self._steps else iter(())
        while standing.step < self._steps and standing.ended is None and not self._time_is_up:
            self._interruption.check()
            begun, first = time.monotonic(), standing.step
            group = self._next_group(batches)
            meter.loaded(group, time.monotonic() - begun)
            self._learn(group)
            self._pace.add_steps(time.monotonic() - begun, standing.step - first)
            if self._announcer.progress_is_due():
                self._tell_progress(meter)
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                self._save()
            if self._stop is not None and self._stop():
                standing.ended = "stopped"
        self._watch.settle(standing)
        self._left_out.settle(standing, self._announcer)
        loss = standing.loss_sum / standing.images if standing.images else None
        return {"log_loss_train": loss, "learning_rate": self._rate, **meter.as_dict()}

    def _next_group(self, batches: Iterator[Batch | None]) -> list[Batch | None]:
        """Load the batches that make one change of the weights; the last group of an epoch may be smaller."""
        first = self._standing.step
        group = [next(batches) for _ in range(min(self._accumulation, self._steps - first))]
        self._left_out.count(group, first)
        for number, batch in enumerate(group, start=first):
            if batch is None:
                self._announcer.tell_skipped(self._standing.epoch + 1, number + 1, self._loader.image_ids(number))
        return group

    def _learn(self, group: list[Batch | None]) -> None:
        """Change the weights once; a group of which no image could be read changes nothing."""
        standing, stepper = self._standing, self._stepper
        usable = [batch for batch in group if batch is not None]
        standing.step += len(group)
        if not usable:
            return
        while (loss := stepper.gradients(usable)) is None:
            self._smaller_training(max(len(batch) for batch in usable))
        done = standing.epoch * self._steps + standing.step
        failpoint(f"training:step:{done}")
        self._rate = stepper.change_weights(
            learning_rate_factor(self._settings, done - 1, self._steps, self._time_used())
        )
        self._watch.add(standing, loss, [name for batch in usable for name in batch.image_ids])

    def _smaller_training(self, images: int) -> None:
        if self._accelerator.num_processes > 1:  # all would have to agree
            raise TrainingError(f"Memory does not suffice for a batch of {images} images. Lower training_batch_size.")
        self._stepper.parts = smaller(self._stepper.parts, images, "training_batch_size")
        self._announcer.tell_smaller_batch("training_batch_size", images, self._stepper.parts, self._accumulation)

    def _smaller_validation(self, parts: int, images: int) -> None:
        self._announcer.tell_smaller_batch("validation_batch_size", images, parts)

    def _evaluate(self) -> dict[str, Any]:
        """Evaluate, keep the weights when they are the best so far, and return the epoch event's fields."""
        standing = self._standing
        metrics, loss = self._evaluator.evaluate(self._stepper.best_model)
        score = metrics.get(self._learner.primary_metric, 0.0)
        is_best = standing.judge(score, metrics, self._settings.early_stopping_delay)
        if is_best and self._accelerator.is_main_process:
            self._checkpoints.save_best(self._stepper.best_model, standing.epoch + 1)
        if self._candidates is not None and self._accelerator.is_main_process:
            self._candidates.add(self._stepper.best_model, standing.epoch, standing.scores)
        return {
            "metrics": finite(metrics),
            "log_loss": loss,
            "primary_metric_name": self._learner.primary_metric,
            "primary_metric": finite({"": score})[""],
            "is_best": is_best,
        }

    def _finish(self) -> TrialResult:
        standing = self._standing
        assert standing.best_epoch is not None  # the last epoch is always evaluated
        averaged: list[int] = []
        if self._candidates is not None:
            model, metric = self._stepper.best_model, self._learner.primary_metric
            averaged = average_epochs(self._candidates, standing, model, self._evaluator, self._checkpoints, metric)
        result = TrialResult(
            status=standing.ended or "completed",
            best_epoch=standing.best_epoch + 1,
            epochs=standing.epoch,
            seconds=round(self._seconds(), 2),
            metrics=finite(standing.best_metrics),
            primary_metric=standing.best_score,
            averaged_epochs=[epoch + 1 for epoch in averaged],
        )
        failpoint("training:before_result")
        if self._accelerator.is_main_process:
            result.save(self._folder)
        self._announcer.tell("finished", **dataclasses.asdict(result))
        return result

    def _interrupted(self) -> Interrupted:
        standing = self._standing
        where = (
            f"in epoch {standing.epoch + 1} of {self._settings.number_of_epochs}, step {standing.step} of {self._steps}"
        )
        self._announcer.tell("interrupted", epoch=standing.epoch + 1, step=standing.step)
        error = Interrupted(f"Training was interrupted {where}; its state is saved. Run the same command to go on.")
        error.exit_code = 128 + (self._interruption.signal_number or 0)
        return error

    def _seconds(self) -> float:
        return self._standing.seconds + time.monotonic() - self._begun

    def _evaluates_now(self) -> bool:
        """Tell whether the epoch is evaluated: the last is, others where that leaves time enough for training."""
        epoch, settings = self._standing.epoch, self._settings
        if epoch == settings.number_of_epochs - 1:
            return True
        allowed = self._limit.allows_evaluation(self._seconds(), self._evaluation)
        return allowed and is_due(epoch, settings.evaluation_frequency, settings)

    @property
    def _evaluation(self) -> float:
        """Seconds that an evaluation takes."""
        images = len(self._learner.validation_set)
        guess = self._pace.guess_of_evaluation(self._settings.training_batch_size, images)
        return self._standing.evaluation or guess

    def _time_used(self) -> float:
        return self._limit.used(self._seconds(), self._evaluation)

    @property
    def _time_is_up(self) -> bool:
        return self._time_used() == 1.0

    def _seconds_left(self) -> float | None:
        """Return the seconds until the last epoch is done, or until time is up where that comes first."""
        left = self._pace.seconds_left(self._standing, self._steps, self._settings)
        return None if left is None else max(0.0, min(left, round(self._limit.left(self._seconds()), 1)))

    def _tell_started(self, resumed: bool) -> None:
        settings, device, threads = self._settings, self._accelerator.device, torch.get_num_threads()
        if device.type == "cpu":
            threads = min(threads, plan_threads(1, self._workers))
            torch.set_num_threads(threads)
        self._announcer.tell(
            "started",
            resumed=resumed,
            epoch=self._standing.epoch + 1,
            step=self._standing.step,
            epochs=settings.number_of_epochs,
            steps=self._steps,
            training_images=len(self._learner.training_set),
            validation_images=len(self._learner.validation_set),
            gradient_accumulation_step=self._accumulation,
            device=str(device),
            mixed_precision=self._accelerator.mixed_precision,
            number_of_workers=self._workers,
            threads=threads,
        )

    def _tell_progress(self, meter: Meter) -> None:
        self._announcer.tell(
            "progress",
            epoch=self._standing.epoch + 1,
            epochs=self._settings.number_of_epochs,
            step=self._standing.step,
            steps=self._steps,
            images_per_second=meter.images_per_second,
            eta_seconds=self._seconds_left(),
        )

    def _loaders(self) -> list[Loader]:
        return [self._loader, *self._evaluator.loaders.values()]
