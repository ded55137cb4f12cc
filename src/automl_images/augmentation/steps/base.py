"""What a step of augmentation is, and the registry that every step puts itself into.

A new step is one file in this folder that registers a `StepType`, and a line in `__init__.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from automl_images.augmentation.sample import Sample
from automl_images.core.registry import Registry

LoadOther = Callable[[], Sample | None]
"""Gives another training sample, drawn at random; None when it cannot be read."""

Apply = Callable[[Sample, Any, torch.Generator, LoadOther], Sample | None]
"""A pure function of sample, parameters, generator and other samples; None drops the sample."""


class Parameters(BaseModel):
    """Base of the parameters of a step: checked, complete and unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclasses.dataclass(frozen=True, slots=True)
class StepType:
    """One kind of step.

    Attributes:
        title: what a person calls it.
        parameters: class of its parameters; its defaults are the values of specification F.
        apply: what it does; always (whether it happens at all is the plan's matter).
    """

    title: str
    parameters: type[Parameters]
    apply: Apply


STEPS: Registry[StepType] = Registry("augmentation step")
