"""Turning what people type (YAML, JSON, command line) into values of one type, or a clear error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from automl_images.core.errors import SettingsError, nearest, shown

Kind = Literal["int", "float", "bool", "choice", "text", "json", "grid"]

_TRUE = {"y", "yes", "t", "true", "on", "1"}
_FALSE = {"n", "no", "f", "false", "off", "0"}
_SAME_AS = {"xlarge": ("extra_large",), "true": ("enable",), "false": ("disable", "no")}
"""What else a word of a choice may stand for; true and false are also what YAML makes of yes, no, on and off."""
_GRID = re.compile(r"^\(?\s*(\d+)\s*[xX,]\s*(\d+)\s*\)?$")


def parse(
    name: str,
    value: Any,
    kind: Kind,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    open_maximum: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return `value` in the type `kind`, checked against its range.

    Raises:
        SettingsError: the message names the parameter, what was expected and what came.
    """
    if kind == "choice":
        return _choice(name, value, choices)
    result = _PARSERS[kind](name, value)
    if kind in {"int", "float"}:
        _check_range(name, value, result, minimum, maximum, open_maximum)
    return result


def _check_range(
    name: str, given: Any, value: float, minimum: float | None, maximum: float | None, open_maximum: bool
) -> None:
    too_small = minimum is not None and value < minimum
    too_large = maximum is not None and (value >= maximum if open_maximum else value > maximum)
    if too_small or too_large:
        low = "-inf" if minimum is None else f"{minimum:g}"
        high = "inf" if maximum is None else f"{maximum:g}"
        end = ")" if open_maximum or maximum is None else "]"
        raise SettingsError(f"{name} must lie in [{low}, {high}{end}, got {shown(given)}.")


def _integer(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool) or float(value) != math.floor(float(value)):
            raise ValueError
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{name} must be a whole number, got {shown(value)}.") from None


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool) or not math.isfinite(float(value)):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{name} must be a number, got {shown(value)}.") from None


def _boolean(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise SettingsError(f"{name} must be true or false, got {shown(value)}.")


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    typed = str(value).strip()
    words = [typed.lower(), re.sub(r"(?<=[a-z])(?=[A-Z])", "_", typed).lower()]
    words += _SAME_AS.get(words[0], ())
    for choice in choices:
        if choice.lower() in words:
            return choice
    raise SettingsError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}.{nearest(words[0], choices)}")


def _json_object(name: str, value: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise SettingsError(
            f"{name} must be a JSON object such as '{{\"apply_mosaic_for_yolo\": false}}', got {shown(value)}."
        )
    return parsed


def _grid(name: str, value: Any) -> tuple[int, int]:
    text = "x".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
    match = _GRID.match(text.strip())
    if not match or "0" in match.groups() or match.groups() == ("1", "1"):
        raise SettingsError(
            f"{name} must be tiles in width x height, such as 3x2 and more than 1x1, got {shown(value)}."
        )
    return int(match[1]), int(match[2])


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "text": lambda name, value: str(value),
    "json": _json_object,
    "grid": _grid,
}
