"""Telling others how a training goes: events to the log, one line of text to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from automl_images.core.events import EventLog
from automl_images.training.memory import used_memory_mb
from automl_images.training.progress import progress_line

PROGRESS_SECONDS = 2.0
LEFT_OUT = "images_left_out"
_NAMED = 10
"""Most images that are named one by one."""


class Announcer:
    """Writes a training's events; only one of several processes does.

    Args:
        events: the log.
        progress: given one line for each `progress` and `epoch` event.
        speaks: whether this process is the one.
    """

    def __init__(self, events: EventLog, progress: Callable[[str], None] | None, speaks: bool) -> None:
        self._events, self._progress, self._speaks = events, progress, speaks
        self._last = time.monotonic()

    def tell(self, event: str, **fields: Any) -> None:
        """Write one event; a `progress` or `epoch` event is also shown as a line."""
        if not self._speaks:
            return
        self._events.write(event, **fields)
        if self._progress is not None and event in {"progress", "epoch"}:
            self._progress(progress_line({"event": event, **fields}))

    def progress_is_due(self) -> bool:
        """Tell whether the last `progress` or `epoch` event is long enough ago; if so the clock starts anew."""
        if time.monotonic() - self._last < PROGRESS_SECONDS:
            return False
        self._last = time.monotonic()
        return True

    def tell_smaller_batch(self, what: str, batch_size: int, parts: int, accumulation: int | None = None) -> None:
        """Tell that memory did not suffice and batches are cut into `parts`.

        Args:
            what: the batch size's hyper-parameter.
            batch_size: as set.
            parts: pieces of a batch.
            accumulation: batches per change of the weights as set; None where nothing is learnt.
        """
        fields: dict[str, Any] = {"parameter": what, "from": batch_size, "to": -(-batch_size // parts)}
        message = f"Memory did not suffice: {what} goes from {batch_size} to {fields['to']}"
        if accumulation is not None:
            fields["gradient_accumulation_step"] = accumulation * parts
            message += f", gradient_accumulation_step to {accumulation * parts}; the effective batch stays"
        self.tell("batch_size_reduced", **fields, message=message + ".")

    def tell_skipped(self, epoch: int, step: int, image_ids: Sequence[str]) -> None:
        """Tell that not one image of a batch could be read."""
        message = f"Step {step} of epoch {epoch} was skipped: none of its images can be read: {', '.join(image_ids)}."
        self.tell("batch_skipped", epoch=epoch, step=step, image_ids=list(image_ids), message=message)

    def tell_left_out(self, epoch: int, image_ids: Sequence[str]) -> None:
        """Tell that training goes without some images; told once a trial."""
        verb = "training image was" if len(image_ids) == 1 else "training images were"
        message = (
            f"{len(image_ids)} {verb} left out in epoch {epoch}, the first is {image_ids[0]}: the file, or one that "
            "augmentation adds to it, cannot be read. Bring the files back, or run anew from data_conversion on."
        )
        self.tell(LEFT_OUT, epoch=epoch, images=len(image_ids), image_ids=list(image_ids[:_NAMED]), message=message)

    def tell_loader_failure(self, error: RuntimeError, image_ids: Sequence[str]) -> None:
        """Tell that a loader process died or hung, and which images were being read then."""
        what = f"A loader process died or hung while it was reading {', '.join(image_ids) or 'nothing'}"
        message = f"{what}; training goes on without loader processes."
        self.tell("loader_failed", message=message, reason=str(error), image_ids=list(image_ids))

    def tell_epoch(self, **fields: Any) -> None:
        """Write an `epoch` event with the memory in use."""
        self._last = time.monotonic()
        self.tell("epoch", **fields, **used_memory_mb())
