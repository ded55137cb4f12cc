"""Panels of `charts.py` as scalable pictures without script: where every line, tick and letter goes.

Owns the geometry in the coordinates of the view box; the markup stands in `templates/chart.svg.j2`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from automl_images.reporting.charts import MUTED, Panel, Series

WIDTH, HEIGHT = 500, 330
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 46
LETTER, LINE, TEXT_GAP = 8.6, 14.0, 14
"""Room that texts take: a letter of the widest of the usual fonts, a line, and what lies between text and chart."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values in [low, high] to view box coordinates in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def drawing(panel: Panel) -> dict[str, Any]:
    """Return what the template draws: `ticks` of both axes, `lines` with path and points, `legend`."""
    y = _axis([v for line in panel.series for v in line.y], panel.y_range, HEIGHT - BOTTOM, TOP)
    y_ticks = panel.y_ticks or _named(y)
    left = _left(y_ticks)
    x = _axis([v for line in panel.series for v in line.x], panel.x_range, left, WIDTH - RIGHT)
    x_ticks = panel.x_ticks or _named(x, whole=panel.x_title == "epoch")
    below = [(min(x.at(v), WIDTH - _width(text) / 2), text) for v, text in x_ticks]
    return {
        "panel": panel,
        "box": {"width": WIDTH, "height": HEIGHT, "left": left, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM},
        "x_ticks": [{"at": at, "text": text} for at, text in apart(below, lambda text: _width(text) + LETTER)],
        "y_ticks": [{"at": at, "text": text} for at, text in apart([(y.at(v), t) for v, t in y_ticks], _line_height)],
        "lines": [_line(line, x, y) for line in sorted(panel.series, key=lambda line: (line.strong, bool(line.name)))],
        "legend": [line for line in panel.series if line.name],
    }


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Return about `count` round values from `low` to `high`; `whole`: integers only."""
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in _STEPS if size * factor >= rough * 0.999)
    step = max(1.0, float(round(step))) if whole else step
    first = math.ceil(round(low / step, 6))
    return [round(k * step, 10) for k in range(first, math.floor(round(high / step, 6)) + 1)]


def apart(marks: Iterable[tuple[float, str]], room: Callable[[str], float]) -> list[tuple[float, str]]:
    """Return the ticks of an axis whose texts do not touch: of two that do the first.

    Args:
        marks: place and text, along the axis.
        room: how much of the axis a text takes.
    """
    kept: list[tuple[float, str]] = []
    for place, text in marks:
        if not kept or abs(place - kept[-1][0]) >= (room(text) + room(kept[-1][1])) / 2:
            kept.append((place, text))
    return kept


def letters_below(y_ticks: Sequence[tuple[float, str]]) -> int:
    """Return how many letters fit below a chart with these ticks at its side."""
    return int((WIDTH - RIGHT - _left(y_ticks)) / LETTER)


def _left(y_ticks: Sequence[tuple[float, str]]) -> int:
    return max([LEFT, *(math.ceil(TEXT_GAP + _width(text)) for _, text in y_ticks)])


def _width(text: str) -> float:
    return LETTER * len(text)


def _line_height(_: str) -> float:
    return LINE


def _axis(values: list[float], fixed: tuple[float, float] | None, start: float, end: float) -> _Axis:
    low, high = fixed or (min(values, default=0.0), max(values, default=1.0))
    if low == high:
        low, high = low - 0.5, high + 0.5
    if fixed is None and low > 0 and start > end:  # vertical: from zero, so that heights compare
        low = 0.0
    return _Axis(low, high, start, end)


def _named(axis: _Axis, *, whole: bool = False) -> list[tuple[float, str]]:
    return [(value, f"{value:g}") for value in ticks(axis.low, axis.high, whole=whole)]


def _line(line: Series, x: _Axis, y: _Axis) -> dict[str, Any]:
    points = [(x.at(a), y.at(b)) for a, b in zip(line.x, line.y, strict=True)]
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in points) if points else ""
    hints = [{"x": a, "y": b, "text": text} for (a, b), text in zip(points, line.hints, strict=False)]
    width = 3.2 if line.strong else 1.2 if line.colour == MUTED else 2
    return {"series": line, "width": width, "path": path, "hints": hints, "dots": points if len(points) == 1 else []}
