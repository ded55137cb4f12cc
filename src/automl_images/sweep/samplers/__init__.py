"""Sampling algorithms: their options, and the one registry. Optuna is imported only when one is built.

A sampler chooses points of a `SearchSpace`. Each is a pure function of its seed, the trial's number and what the study
was told so far, so that a sweep that is resumed goes on with the same sequence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from automl_images.core.errors import unknown_name
from automl_images.core.options import Options
from automl_images.core.registry import Registry
from automl_images.sweep.space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["SAMPLERS", "SamplingOptions", "build_sampler", "number_of_trials"]


@dataclasses.dataclass(frozen=True, slots=True)
class Algorithm:
    """A sampling algorithm.

    Attributes:
        build: makes its sampler.
        keys: those of `SamplingOptions` that it takes beside `type`.
    """

    build: Callable[[SearchSpace, SamplingOptions], BaseSampler]
    keys: frozenset[str] = frozenset()


SAMPLERS = Registry[Algorithm]("sampling algorithm")


class SamplingOptions(Options):
    """How configurations are chosen from the search space: a name, or an object with `type` (specification D.5).

    Attributes:
        type: `random`, `grid` or `bayesian`.
        seed: of random and bayesian.
        rule: of random: pseudo-random numbers, or the evenly spread ones of Sobol.
        logbase: of random: base of the logarithms that the bounds, mu and sigma of log distributions are.
    """

    type: str = "random"
    seed: int = Field(default=0, ge=0)
    rule: Literal["random", "sobol"] = "random"
    logbase: float | Literal["e"] = "e"

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in SAMPLERS:
            raise ValueError(unknown_name("sampling algorithm", value, SAMPLERS))
        return value

    @field_validator("logbase", mode="before")
    @classmethod
    def _usable(cls, value: Any) -> Any:
        number = not isinstance(value, bool | str) and isinstance(value, int | float)
        if value != "e" and not (number and 0 < value < math.inf and value != 1):
            raise ValueError("logbase must be 'e' or a number above zero other than 1")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> SamplingOptions:
        for key in sorted(self.model_fields_set - SAMPLERS.get(self.type).keys - {"type"}):
            takers = [name for name in SAMPLERS if key in SAMPLERS.get(name).keys]
            raise ValueError(f"{key} does not fit the type {self.type}; it is for {', '.join(takers)}")
        return self

    @property
    def log_base(self) -> float:
        """Return `logbase` as a number, for `SearchSpace.parse`."""
        return math.e if isinstance(self.logbase, str) else self.logbase


def build_sampler(options: SamplingOptions, space: SearchSpace) -> BaseSampler:
    """Return the sampler of a study whose trials are asked by `space.suggest`.

    Raises:
        SettingsError: the algorithm cannot search this space; the message holds the path.
    """
    return SAMPLERS.get(options.type).build(space, options)


def number_of_trials(options: SamplingOptions, space: SearchSpace, max_trials: int) -> int:
    """Return how many trials there are to ask for: a grid ends, and one configuration is tried once."""
    if space.size is not None and (options.type == "grid" or space.size <= 1):
        return min(max_trials, max(space.size, 1))
    return max_trials


def _random(space: SearchSpace, options: SamplingOptions) -> BaseSampler:
    from automl_images.sweep.samplers.random import RandomSampler

    return RandomSampler(space, options.seed, options.rule)


def _grid(space: SearchSpace, options: SamplingOptions) -> BaseSampler:
    from automl_images.sweep.samplers.grid import GridSampler

    return GridSampler(space)


def _bayesian(space: SearchSpace, options: SamplingOptions) -> BaseSampler:
    from automl_images.sweep.samplers.bayesian import BayesianSampler

    return BayesianSampler(space, options.seed)


SAMPLERS.register("random")(Algorithm(_random, frozenset({"seed", "rule", "logbase"})))
SAMPLERS.register("grid")(Algorithm(_grid))
SAMPLERS.register("bayesian")(Algorithm(_bayesian, frozenset({"seed"})))
