"""The ten distributions of a search space, with the exact meaning they have in Azure (specification D.4).

A distribution has two coordinates. A *point* is what the study stores and what samplers choose: the value itself
wherever that is a number or a text, the unrounded value for qloguniform and qlognormal, JSON text for structured
values of a choice. `value` turns a point into what the trial is given. `at` maps u in [0, 1) to a point by the inverse
distribution function, so that pseudo-random and Sobol numbers serve alike; `suggest` asks a trial for a point.

Which hyper-parameter may have which distribution, and the path in messages, are left to `space.py`.
"""

from __future__ import annotations

import abc
import dataclasses
import json
import math
from decimal import Decimal
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import SettingsError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Point = None | bool | int | float | str

_BOUNDS = ("min_value", "max_value")
_BELL = ("mu", "sigma")
FIELDS: dict[str, tuple[str, ...]] = {
    "choice": ("values",),
    "uniform": _BOUNDS,
    "loguniform": _BOUNDS,
    "quniform": (*_BOUNDS, "q"),
    "qloguniform": (*_BOUNDS, "q"),
    "normal": _BELL,
    "lognormal": _BELL,
    "qnormal": (*_BELL, "q"),
    "qlognormal": (*_BELL, "q"),
    "randint": ("upper",),
}
"""The names of the distributions and of their arguments, in the order of the text form."""

WHOLE = ("choice", "randint", "quniform", "qloguniform", "qnormal", "qlognormal")
"""Those that an int hyper-parameter may have."""


class Distribution(abc.ABC):
    """What one hyper-parameter is drawn from."""

    @abc.abstractmethod
    def at(self, u: float) -> Point:
        """Return the point below which the share `u` in [0, 1) of the distribution lies."""

    @abc.abstractmethod
    def value(self, point: Any) -> Any:
        """Return the hyper-parameter's value at a point."""

    def point(self, value: Any) -> Any:
        """Return the point of a value, where it is not the value itself."""
        return value

    @abc.abstractmethod
    def ask(self, trial: BaseTrial, name: str) -> Point:
        """Return the point that a trial suggests under a name."""

    @abc.abstractmethod
    def ends(self) -> tuple[Any, ...]:
        """Return every value of a choice, else the lowest and the highest that can be drawn."""

    @abc.abstractmethod
    def holds(self, value: Any) -> bool:
        """Tell whether a value of any kind can be drawn, and is a point of the study too."""

    def draw(self, u: float) -> Any:
        """Return the value for a number `u` in [0, 1)."""
        return self.value(self.at(u))

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Return the value that a trial suggests under a name."""
        return self.value(self.ask(trial, name))


@dataclasses.dataclass(frozen=True)
class Choice(Distribution):
    """One of some values, all equally likely; structured values are known to the study by their JSON text."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise SettingsError("choice needs a non-empty list of values.")
        for index, value in enumerate(self.values):
            if value in self.values[:index]:
                raise SettingsError(f"choice has the value {value!r} twice; name each once.")

    @property
    def points(self) -> tuple[Point, ...]:
        """Return the points of the values."""
        return tuple(v if isinstance(v, Point) else json.dumps(v, sort_keys=True) for v in self.values)

    def at(self, u: float) -> Point:
        """Return the point of one of the equal parts of [0, 1)."""
        return self.points[int(u * len(self.values))]

    def value(self, point: Any) -> Any:
        """Return the value whose point it is."""
        return self.values[self.points.index(point)]

    def point(self, value: Any) -> Any:
        """Return the point of one of the values."""
        return self.points[self.values.index(value)]

    def ask(self, trial: BaseTrial, name: str) -> Point:
        """Return the point of a categorical parameter."""
        return trial.suggest_categorical(name, self.points)

    def ends(self) -> tuple[Any, ...]:
        """Return all values."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Tell whether it is one of the values."""
        return value in self.values


@dataclasses.dataclass(frozen=True)
class RandInt(Distribution):
    """A whole number from 0 to `upper` - 1."""

    upper: int

    def at(self, u: float) -> int:
        """Return a number below `upper`."""
        return int(u * self.upper)

    def value(self, point: Any) -> int:
        """Return the number itself."""
        return int(point)

    def ask(self, trial: BaseTrial, name: str) -> int:
        """Return the point of an int parameter."""
        return trial.suggest_int(name, 0, self.upper - 1)

    def ends(self) -> tuple[Any, ...]:
        """Return the smallest and the largest number."""
        return 0, self.upper - 1

    def holds(self, value: Any) -> bool:
        """Tell whether it is one of the numbers."""
        return type(value) is int and 0 <= value < self.upper


@dataclasses.dataclass(frozen=True)
class Number(Distribution):
    """A uniform or normal number, or the exponential of one, perhaps rounded to multiples of `q`.

    Attributes:
        low, high: bounds of the number, of its natural logarithm where `log`.
        bell: mu and sigma of a normal number, which is conditioned on [low, high]; None: uniform.
        log: the value is the exponential.
        q: the value is rounded to multiples of q; None: it is not.
        whole: the value is an int; q is a whole number then.
        floor, ceiling: a rounded or normal value is moved into this range.
    """

    low: float
    high: float
    bell: tuple[float, float] | None = None
    log: bool = False
    q: float | None = None
    whole: bool = False
    floor: float = -math.inf
    ceiling: float = math.inf

    def at(self, u: float) -> int | float:
        """Return the quantile of `u`."""
        if self.bell is None:
            return self._point(self.low + u * (self.high - self.low))
        normal = NormalDist(*self.bell)
        below, within = normal.cdf(self.low), normal.cdf(self.high) - normal.cdf(self.low)
        return self._point(min(max(normal.inv_cdf(below + u * within), self.low), self.high))

    def value(self, point: Any) -> int | float:
        """Return the rounded, legal number."""
        value = min(max(self._rounded(point), self.floor), self.ceiling)
        return round(value) if self.whole else float(value)

    def ask(self, trial: BaseTrial, name: str) -> int | float:
        """Return the point of a parameter on the scale, and the grid, of the distribution."""
        low, high = self._point(self.low), self._point(self.high)
        if self.log or self.q is None:
            return trial.suggest_float(name, low, high, log=self.log)
        if self.whole:
            return trial.suggest_int(name, int(low), int(high), step=int(self.q))
        return trial.suggest_float(name, low, high, step=self.q)

    def ends(self) -> tuple[Any, ...]:
        """Return the smallest and the largest value."""
        return self.value(self._point(self.low)), self.value(self._point(self.high))

    def holds(self, value: Any) -> bool:
        """Tell whether it is a number within the bounds, not rounded away."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self._point(self.low) <= value <= self._point(self.high) and self.value(value) == value

    def _point(self, latent: float) -> int | float:
        """Return the point of a number between low and high: on a grid where the search can keep to one."""
        return math.exp(latent) if self.log else self.value(latent)

    def _rounded(self, value: float) -> float:
        # Decimal: 3 * 0.1 is 0.3, not 0.30000000000000004.
        return value if self.q is None else float(round(value / self.q) * Decimal(repr(self.q)))
