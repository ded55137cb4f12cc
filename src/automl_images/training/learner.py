"""What the trainer asks of a task: the only thing it knows about what is being learnt.

An adapter in `tasks/` implements it; the trainer in this room stays blind to images, boxes and classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class Batch(Protocol):
    """A collated batch: knows its images' ids and can be moved and cut."""

    image_ids: Sequence[str]

    def to(self, device: Any, **options: Any) -> Batch:
        """Return the batch on `device`."""

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory (asked for on CUDA only)."""

    def split(self, parts: int) -> list[Batch]:
        """Cut into at most `parts` smaller batches, for when memory does not suffice."""

    def __len__(self) -> int: ...


class ImageSet(Protocol):
    """A map-style dataset that can say which image stands at an index.

    Items are drawn in loader processes: an item depends on its key alone, never on a global random state.
    """

    image_ids: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any:
        """Return one sample, or None when the image cannot be read."""


class TrainingImages(ImageSet, Protocol):
    """Images to train on.

    Attributes:
        shape_groups: number of each image's group; those of one group make batches together. Empty where the network
            sees all in one shape.
    """

    shape_groups: Sequence[int]


class Learner(Protocol):
    """A model with its data and its yardstick.

    Attributes:
        model: the network; `losses` and `predict` are given the same network wrapped for device and precision, or
            its moving average.
        primary_metric: name in what `metrics` returns; larger is better.
        training_set: `training_set[(epoch, index)]` gives one augmented sample; the same pair always gives the same
            sample (augmentation draws from a generator seeded by seed, epoch and index), so that a resumed epoch and
            any number of workers see the same data.
        validation_set: `validation_set[index]`.
        unaugmented_training_set: the training images as validation samples, `unaugmented_training_set[index]`; read
            only where log_training_metrics is on.
    """

    model: nn.Module
    primary_metric: str
    training_set: TrainingImages
    validation_set: ImageSet
    unaugmented_training_set: ImageSet

    def collate(self, samples: Sequence[Any]) -> Batch | None:
        """Make a batch of samples; None samples (unreadable images) are left out; None when nothing is left."""

    def losses(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return scalar losses whose sum is minimised; also called in eval mode without gradients for validation.

        Each is a mean over the batch's images, so that a batch that was cut for want of memory gives the same
        gradient: a factor such as the batch size must be the setting, not `len(batch)`.
        """

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return one prediction per image, on the CPU, in the frame that `metrics` expects."""

    def truths(self, batch: Batch) -> list[Any]:
        """Return the ground truth of a validation batch in the same frame."""

    def metrics(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Return named numbers, `primary_metric` among them (not called when validation_metric_type is none)."""
