"""From the name and the arguments of a distribution to the distribution, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import NormalDist
from typing import Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.values import parse
from automl_images.sweep.distributions import FIELDS, Choice, Distribution, Number, RandInt

_SIGMAS = 5.0
"""Normals are cut at so many standard deviations (one draw in two million lies beyond)."""
_LEAST_SHARE = 1e-12
"""Of a normal in the range on which it is conditioned; with less, the quantiles of floats are one number."""
_MOST = 2**53
"""Whole numbers up to this one are told apart as floats, in which studies keep them."""


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
        if low >= high or not _share(bell, low, high) > _LEAST_SHARE:
            text = f"{kind}({numbers['mu']:g}, {numbers['sigma']:g})"
            raise SettingsError(f"{text} hardly ever lies in [{legal.minimum:g}, {legal.maximum:g}].")
    else:
        if numbers["min_value"] > numbers["max_value"]:
            raise SettingsError(f"min_value {numbers['min_value']:g} is above max_value {numbers['max_value']:g}.")
        low, high = sorted((numbers["min_value"] * scale, numbers["max_value"] * scale))
    _check_extent(kind, low, high, log)
    _check_multiples(q, *(math.exp(end) if log else end for end in (low, high)))
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
    if not 1 <= upper <= _MOST or upper != int(upper):
        raise SettingsError(f"upper of randint must be a whole number above zero, at most 2**53, got {upper:g}.")
    return int(upper)


def _check_extent(kind: str, low: float, high: float, log: bool) -> None:
    if log and not -700 < low <= high < 700:
        raise SettingsError(
            f"{kind} draws a logarithm, here between {low:.4g} and {high:.4g}; its exponential is not a number."
        )
    if not math.isfinite(high - low):
        raise SettingsError(f"{kind} draws from {low:.4g} to {high:.4g} here, which is wider than any float.")


def _check_multiples(q: float | None, *ends: float) -> None:
    largest = max((abs(end) for end in ends if math.isfinite(end)), default=0.0)
    if q is not None and largest / q > _MOST:
        raise SettingsError(f"q {q:g} is too small for numbers up to {largest:g}: floats are coarser there.")


def _checked_q(q: float | None, whole: bool) -> float | None:
    if q is not None and (q <= 0 or (whole and q != int(q))):
        raise SettingsError(f"q must be {'a whole number ' if whole else ''}above zero, got {q:g}.")
    return q


def _multiples(legal: Range, q: float | None) -> tuple[float, float]:
    """Return the smallest and the largest legal value that is a multiple of q."""
    if q is None:
        return legal.minimum, legal.maximum
    _check_multiples(q, legal.minimum, legal.maximum)
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


def _share(bell: tuple[float, float], low: float, high: float) -> float:
    """Return how much of a normal lies between two ends."""
    normal = NormalDist(*bell)
    return normal.cdf(high) - normal.cdf(low)
