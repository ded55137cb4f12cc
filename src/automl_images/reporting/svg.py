"""Panels of `charts.py` as scalable pictures without script: where every line, tick and letter goes.

Owns the geometry in the coordinates of the view box; the markup stands in `templates/chart.svg.j2`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from automl_images.reporting.charts import MUTED, Panel, Series

WIDTH, HEIGHT = 500, 330
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 46
LETTER, TEXT_GAP = 7, 14
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
    left = max([LEFT, *(TEXT_GAP + LETTER * len(text) for _, text in panel.y_ticks or ())])
    x = _axis([v for line in panel.series for v in line.x], panel.x_range, left, WIDTH - RIGHT)
    y = _axis([v for line in panel.series for v in line.y], panel.y_range, HEIGHT - BOTTOM, TOP)
    whole = panel.x_title == "epoch"
    return {
        "panel": panel,
        "box": {"width": WIDTH, "height": HEIGHT, "left": left, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM},
        "x_ticks": [{"at": x.at(v), "text": text} for v, text in panel.x_ticks or _named(x, whole=whole)],
        "y_ticks": [{"at": y.at(v), "text": text} for v, text in panel.y_ticks or _named(y)],
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
