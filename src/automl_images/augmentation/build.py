"""A plan carried out: from the index of a training image to its augmented sample."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from automl_images.augmentation.draws import integer, uniform
from automl_images.augmentation.plan import AugmentationPlan, OneOf, Step, step_parameters
from automl_images.augmentation.sample import Sample
from automl_images.augmentation.steps.base import STEPS, Apply, LoadOther

Load = Callable[[int], Sample | None]
"""Reads training sample `index`; None when it cannot be read. What it gives is never written into."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Ready:
    apply: Apply
    parameters: Any
    probability: float


class Augmentation:
    """The steps of a plan, ready to run; holds no state, so that any process and any order give the same samples."""

    def __init__(self, groups: tuple[tuple[_Ready, ...], ...]) -> None:
        self._groups = groups

    def __call__(self, load: Load, index: int, count: int, generator: torch.Generator) -> Sample | None:
        """Return the augmented sample of one training image.

        Args:
            load: reads samples.
            index: of the image.
            count: of all training samples; steps that mix images draw others from them.
            generator: the only source of randomness; the same state gives the same sample.

        Returns:
            The sample; None when the image, or another one that it needs, cannot be read.
        """
        other = functools.partial(_load_other, load, count, generator)
        sample = load(index)
        for group in self._groups:
            if sample is None:
                return None
            sample = _apply_one(group, sample, generator, other)
        return sample


def build(plan: AugmentationPlan, image_size: int | None = None) -> Augmentation:
    """Return the augmentation of a plan.

    Args:
        plan: what to do.
        image_size: side of the model's square input, pixels, for steps whose `size` is null.

    Raises:
        SettingsError: unknown step or parameter, or a `size` that neither plan nor `image_size` gives.
    """
    entries = (entry.one_of if isinstance(entry, OneOf) else (entry,) for entry in plan.training)
    return Augmentation(tuple(tuple(_ready(step, image_size) for step in steps) for steps in entries))


def _ready(step: Step, image_size: int | None) -> _Ready:
    return _Ready(STEPS.get(step.name).apply, step_parameters(step, image_size), step.probability)


def _apply_one(
    group: tuple[_Ready, ...], sample: Sample, generator: torch.Generator, other: LoadOther
) -> Sample | None:
    """Draw once, and apply the step of the group into whose share of [0, 1) the number falls, if any."""
    number = uniform(generator)
    for step in group:
        if number < step.probability:
            return step.apply(sample, step.parameters, generator, other)
        number -= step.probability
    return sample


def _load_other(load: Load, count: int, generator: torch.Generator) -> Sample | None:
    return load(integer(generator, count))
