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
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.values import parse

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

_SIGMAS = 5.0
"""Normals are cut at so many standard deviations (one draw in two million lies beyond)."""


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

    def _point(self, latent: float) -> int | float:
        """Return the point of a number between low and high: on a grid where the search can keep to one."""
        return math.exp(latent) if self.log else self.value(latent)

    def _rounded(self, value: float) -> float:
        # Decimal: 3 * 0.1 is 0.3, not 0.30000000000000004.
        return value if self.q is None else float(round(value / self.q) * Decimal(repr(self.q)))


@dataclasses.dataclass(frozen=True)
class Range:
    """The legal values of a hyper-parameter: from `minimum` to `maximum`, both included; `whole`: only ints."""

    minimum: float = -math.inf
    maximum: float = math.inf
    whole: bool = False


def build(kind: str, arguments: Mapping[str, Any], legal: Range, log_base: float = math.e) -> Distribution:
    """Return a distribution other than a choice.

    Args:
        kind: a name in `FIELDS`.
        arguments: all of its fields.
        legal: normals, which know no bounds, are conditioned on it. Bounds of the others are not checked against it.
        log_base: base of the logarithms that the bounds, mu and sigma of the log distributions are.

    Raises:
        SettingsError: an argument is not a number, or they contradict each other.
    """
    numbers = {name: float(parse(name, arguments[name], "float")) for name in FIELDS[kind]}
    if kind == "randint":
        return RandInt(_upper(numbers["upper"]))
    log = "log" in kind
    scale = math.log(log_base) if log else 1.0
    q = _checked_q(numbers.get("q"), legal.whole)
    floor, ceiling = _multiples(legal, q) if "mu" in numbers else (-math.inf, math.inf)
    bell = None
    if "mu" in numbers:
        bell = (numbers["mu"] * scale, numbers["sigma"] * abs(scale))
        half = (q or 0.0) / 2  # what rounds to a legal multiple
        low, high = _cut(bell, floor - half, ceiling + half, log)
        if low >= high:
            text = f"{kind}({numbers['mu']:g}, {numbers['sigma']:g})"
            raise SettingsError(f"{text} hardly ever lies in [{legal.minimum:g}, {legal.maximum:g}].")
    else:
        if numbers["min_value"] > numbers["max_value"]:
            raise SettingsError(f"min_value {numbers['min_value']:g} is above max_value {numbers['max_value']:g}.")
        low, high = sorted((numbers["min_value"] * scale, numbers["max_value"] * scale))
    if log and not -700 < low <= high < 700:
        raise SettingsError(
            f"{kind} draws a logarithm, here between {low:.4g} and {high:.4g}; its exponential is not a number."
        )
    return Number(low, high, bell, log, q, legal.whole, floor, ceiling)


def choice(values: Any) -> Choice:
    """Return a choice of the values of a list.

    Raises:
        SettingsError: it is not a list, is empty, or has a value twice.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise SettingsError(f"choice needs a list of values, got {values!r}.")
    return Choice(tuple(values))


def check_fields(kind: str, given: Sequence[str]) -> None:
    """Check the name of a distribution and those of its arguments.

    Raises:
        SettingsError: unknown distribution; an argument is missing or too many.
    """
    if kind not in FIELDS:
        raise SettingsError(f"Unknown distribution {kind!r}.{nearest(kind, FIELDS)} Known: {', '.join(FIELDS)}.")
    if set(given) != set(FIELDS[kind]):
        raise SettingsError(f"{kind} takes {', '.join(FIELDS[kind])}, got {', '.join(map(str, given)) or 'nothing'}.")


def _upper(upper: float) -> int:
    if upper < 1 or upper != int(upper):
        raise SettingsError(f"upper of randint must be a whole number above zero, got {upper:g}.")
    return int(upper)


def _checked_q(q: float | None, whole: bool) -> float | None:
    if q is not None and (q <= 0 or (whole and q != int(q))):
        raise SettingsError(f"q must be {'a whole number ' if whole else ''}above zero, got {q:g}.")
    return q


def _multiples(legal: Range, q: float | None) -> tuple[float, float]:
    """Return the smallest and the largest legal value that is a multiple of q."""
    if q is None:
        return legal.minimum, legal.maximum
    step = Decimal(repr(q))
    low = float(math.ceil(legal.minimum / q) * step) if math.isfinite(legal.minimum) else -math.inf
    high = float(math.floor(legal.maximum / q) * step) if math.isfinite(legal.maximum) else math.inf
    if low > high:
        raise SettingsError(f"no multiple of q {q:g} lies in [{legal.minimum:g}, {legal.maximum:g}].")
    return low, high


def _cut(bell: tuple[float, float], floor: float, ceiling: float, log: bool) -> tuple[float, float]:
    """Return the range on which a normal is conditioned: the legal one, within five standard deviations of mu."""
    mu, sigma = bell
    if sigma <= 0:
        raise SettingsError(f"sigma must be above zero, got {sigma:g}.")
    if log:
        floor, ceiling = (math.log(end) if end > 0 else -math.inf for end in (floor, ceiling))
    return max(floor, mu - _SIGMAS * sigma), min(ceiling, mu + _SIGMAS * sigma)
