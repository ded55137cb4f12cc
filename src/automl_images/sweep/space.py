"""Search spaces: what may be sampled, and one configuration drawn from it.

A space is a list of conditional dictionaries; a trial first draws one of them, then a value for each of its keys
(specification D.4). Values are literals, `{type: choice, values: […]}` mappings or the text form `choice(1, 2)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.hyperparameters import canonical, find

Generator = np.random.Generator

_TEXT_FORM = re.compile(r"^\s*([a-z]+)\s*\((.*)\)\s*$", re.DOTALL)


def _quantised(value: float, q: float) -> float:
    return float(round(value / q) * q)


def _uniform(g: Generator, min_value: float, max_value: float) -> float:
    return float(g.uniform(min_value, max_value))


DISTRIBUTIONS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "choice": (("values",), lambda g, values: values[int(g.integers(len(values)))]),
    "uniform": (("min_value", "max_value"), _uniform),
    "loguniform": (
        ("min_value", "max_value"),
        lambda g, min_value, max_value: math.exp(_uniform(g, min_value, max_value)),
    ),
    "quniform": (
        ("min_value", "max_value", "q"),
        lambda g, min_value, max_value, q: _quantised(_uniform(g, min_value, max_value), q),
    ),
    "randint": (("upper",), lambda g, upper: int(g.integers(upper))),
}


def sample(space: Sequence[Mapping[str, Any]], seed: int, number: int) -> dict[str, Any]:
    """Return the configuration of trial `number`.

    Args:
        space: list of conditional dictionaries; an empty list gives an empty configuration.
        seed: of the sweep.
        number: of the trial, from 0; the same seed and number always give the same configuration.

    Raises:
        SettingsError: the message holds the path, for example `search_space[1].learning_rate`.
    """
    if not space:
        return {}
    generator = np.random.default_rng([seed, number])
    index = int(generator.integers(len(space)))
    return {
        name: _draw(f"search_space[{index}].{name}", value, generator) for name, value in sorted(space[index].items())
    }


def check(space: Sequence[Mapping[str, Any]]) -> None:
    """Raise a `SettingsError` for the first mistake in a search space."""
    for index, branch in enumerate(space):
        if not branch:
            raise SettingsError(f"search_space[{index}] is empty; give at least one hyper-parameter.")
        for name, value in branch.items():
            path = f"search_space[{index}].{name}"
            if name != "model_name":
                find(name)
            for candidate in _extremes(path, value):
                _check_value(path, name, candidate)


def _check_value(path: str, name: str, value: Any) -> None:
    if name == "model_name":
        return
    if name == "advanced_settings":
        raise SettingsError(f"{path}: advanced_settings hold for the whole job; put them into training_parameters.")
    try:
        canonical({name: value})
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _extremes(path: str, value: Any) -> list[Any]:
    """Return the values (of a choice) or the bounds (of a range) that must be legal."""
    kind, arguments = _distribution(path, value)
    if kind is None:
        return [value]
    if kind == "choice":
        return list(arguments["values"])
    if kind == "loguniform":
        return [math.exp(arguments["min_value"]), math.exp(arguments["max_value"])]
    return [arguments[key] for key in ("min_value", "max_value") if key in arguments]


def _draw(path: str, value: Any, generator: Generator) -> Any:
    kind, arguments = _distribution(path, value)
    return value if kind is None else DISTRIBUTIONS[kind][1](generator, **arguments)


def _distribution(path: str, value: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the distribution's name and arguments, or None for a literal."""
    if isinstance(value, str) and (match := _TEXT_FORM.match(value)):
        return _from_text(path, match[1], match[2])
    if not isinstance(value, Mapping):
        return None, {}
    kind = str(value.get("type"))
    fields = _fields(path, kind)
    given = {key: item for key, item in value.items() if key != "type"}
    if set(given) != set(fields):
        raise SettingsError(f"{path}: {kind} takes {', '.join(fields)}, got {', '.join(map(str, given)) or 'nothing'}.")
    return kind, _checked(path, kind, given)


def _from_text(path: str, kind: str, text: str) -> tuple[str, dict[str, Any]]:
    fields = _fields(path, kind)
    values = yaml.safe_load(f"[{text}]")
    arguments = {"values": values} if kind == "choice" else dict(zip(fields, values, strict=False))
    if len(arguments) != len(fields) or (kind != "choice" and len(values) != len(fields)):
        raise SettingsError(f"{path}: {kind} takes {', '.join(fields)}, got ({text}).")
    return kind, _checked(path, kind, arguments)


def _fields(path: str, kind: str) -> tuple[str, ...]:
    if kind not in DISTRIBUTIONS:
        raise SettingsError(
            f"{path}: unknown distribution {kind!r}.{nearest(kind, DISTRIBUTIONS)} Known: {', '.join(DISTRIBUTIONS)}."
        )
    return DISTRIBUTIONS[kind][0]


def _checked(path: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if kind == "choice":
        if not isinstance(arguments["values"], list) or not arguments["values"]:
            raise SettingsError(f"{path}: choice needs a non-empty list of values, got {arguments['values']!r}.")
        return arguments
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise SettingsError(f"{path}: {name} of {kind} must be a number, got {value!r}.")
    if "min_value" in arguments and arguments["min_value"] > arguments["max_value"]:
        raise SettingsError(f"{path}: min_value {arguments['min_value']} is above max_value {arguments['max_value']}.")
    if arguments.get("q", 1) <= 0 or arguments.get("upper", 1) < 1:
        raise SettingsError(f"{path}: q and upper of {kind} must be above zero, got {arguments}.")
    return arguments
