"""Images that training goes without as they cannot be read: counted over an epoch, told once a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from automl_images.core.errors import DataError
from automl_images.training.announcing import LEFT_OUT, Announcer
from automl_images.training.epochs import Standing
from automl_images.training.learner import Batch
from automl_images.training.loading import Loader


class LeftOut:
    """Counts the images of an epoch that its batches lack.

    Args:
        loader: of the training images.
        earlier: events of this training's earlier runs, which may have told already.
    """

    def __init__(self, loader: Loader, earlier: Iterable[Mapping[str, Any]]) -> None:
        self._loader = loader
        self._is_told = any(event["event"] == LEFT_OUT for event in earlier)
        self._image_ids: dict[str, None] = {}

    def count(self, group: Sequence[Batch | None], first: int) -> None:
        """Take note of what the batches from number `first` on lack."""
        if self._is_told:
            return
        for number, batch in enumerate(group, start=first):
            if batch is None or len(batch) < self._loader.order.size(number):
                read = set(batch.image_ids) if batch is not None else set()
                names = self._loader.image_ids(number)
                self._image_ids.update(dict.fromkeys(name for name in names if name not in read))

    def settle(self, standing: Standing, announcer: Announcer) -> None:
        """Tell what was left out where that is new; `standing` is complete and its epoch's training over.

        Raises:
            DataError: the whole epoch had not one image.
        """
        if self._image_ids and not self._is_told:
            announcer.tell_left_out(standing.epoch + 1, list(self._image_ids))
            self._is_told = True
        self._image_ids.clear()
        if standing.step == len(self._loader.order) and standing.images == 0:
            raise DataError(
                f"Expected images to train on, but none could be read in epoch {standing.epoch + 1}, for example "
                f"{self._loader.image_ids(0)[0]}. Bring the files back, or run from data_conversion on, which "
                "leaves out what cannot be read."
            )
