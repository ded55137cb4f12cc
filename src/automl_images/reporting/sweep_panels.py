"""The section of the report about a sweep: panels, tables and the parallel coordinates as pictures without script.

Owns what the page shows of a comparison and where the lines of the parallel coordinates go; markup stands in
`templates/sweep.html.j2`. The same comparison as Plotly figures is in `sweep_charts.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from automl_images.reporting import svg
from automl_images.reporting.charts import PALETTE, Panel, Series
from automl_images.reporting.sections import DASH, duration, number
from automl_images.reporting.sweep_charts import SHADES
from automl_images.reporting.trial_axes import LOG, UNSET, Axis, Comparison, compare, shortened

WIDTH, HEIGHT = 1040, 400
LEFT, RIGHT, TOP, BOTTOM = 236, 60, 54, 26
LETTER, LINE = 8.3, 13.0
"""Room that a tick's text takes."""
_MOST_LISTED = 40
_MOST_AXES = 7
_TITLE, _FIRST = 16, 34


def sweep_section(trials: pd.DataFrame, metric: str, ended: str = "") -> dict[str, Any] | None:
    """Return what the page shows of a sweep, or None for a job of one trial.

    Args:
        trials: the leaderboard.
        metric: the column of the primary metric; larger is better.
        ended: why the sweep ended early; empty: all trials were made.

    Returns:
        `ended`, `parallel` (None where nothing can be compared), `scatters`, `importance`, `left_out` (hyper-parameters
        without a share), `stopped` (trials that did not complete, and why), `effort` and `totals`.
    """
    from automl_images.sweep.importance import FEWEST_TRIALS

    if len(trials) < 2:
        return None
    comparison = compare(trials, metric)
    comparable = len(comparison.trials) > 1 and bool(comparison.axes)
    titles = {axis.name: axis.title for axis in comparison.axes}
    most = max(comparison.importance.values(), default=1.0) or 1.0
    return {
        "metric": metric,
        "ended": ended,
        "parallel": parallel(comparison) if comparable else None,
        "scatters": [svg.drawing(panel) for panel in scatter_panels(comparison)] if comparable else [],
        "importance": [
            {"name": titles[name], "share": f"{share:.0%}", "bar": share / most}
            for name, share in comparison.importance.items()
        ],
        "fewest": FEWEST_TRIALS,
        "left_out": [axis.title for axis in comparison.axes if not axis.complete],
        "shades": SHADES,
        "stopped": _not_completed(trials, metric),
        "effort": _effort(trials)[:_MOST_LISTED],
        "effort_left_out": max(0, len(trials) - _MOST_LISTED),
        "totals": {
            "epochs": number(int(trials["epochs"].sum())),
            "time": duration(float(trials["seconds"].sum())),
            "stopped": len(comparison.stopped),
        },
    }


def scatter_panels(comparison: Comparison) -> list[Panel]:
    """Return the trials over the most important amount and each of the next two hyper-parameters, coloured by metric.

    Where there is only one, the metric takes the place of the second.
    """
    first, *others = comparison.amounts_first
    return [_scatter(comparison, other, first) for other in others[:2]] or [
        _scatter(comparison, first, comparison.metric)
    ]


def parallel(comparison: Comparison) -> dict[str, Any]:
    """Return parallel coordinates in the units of their view box: `axes` with ticks, `lines` with path and hint."""
    axes = [*comparison.axes[:_MOST_AXES], comparison.metric]
    places = [LEFT + number * (WIDTH - LEFT - RIGHT) / (len(axes) - 1) for number in range(len(axes))]
    heights = [_heights(axis) for axis in axes]
    rising = sorted(range(len(comparison.trials)), key=lambda trial: comparison.metric.positions[trial])
    lines = [
        {
            "path": "M" + "L".join(f"{x:.0f} {column[trial]:.1f}" for x, column in zip(places, heights, strict=True)),
            "colour": shade(comparison.shades[trial]),
            "hint": comparison.hints[trial],
            "strong": trial == rising[-1],
        }
        for trial in rising
    ]
    letters = [_FIRST, *(int((b - a) / LETTER) for a, b in itertools.pairwise(places))]
    drawn = [_drawn(axis, x, most) for axis, x, most in zip(axes, places, letters, strict=True)]
    left_out = [axis.title for axis in comparison.axes[_MOST_AXES:]]
    box = {"width": WIDTH, "height": HEIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}
    return {**box, "axes": drawn, "lines": lines, "left_out": left_out}


def shade(share: float) -> str:
    """Return the colour for a place in [0, 1] between the worst and the best."""
    position = share * (len(SHADES) - 1)
    index = min(int(position), len(SHADES) - 2)
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SHADES[index : index + 2]]
    mixed = [round(a + (position - index) * (b - a)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _scatter(comparison: Comparison, x: Axis, y: Axis) -> Panel:
    """Return a panel of points; trials that lack one of the two settings have none."""
    rows = zip(x.positions, y.positions, comparison.shades, comparison.hints, strict=True)
    known = sorted((row for row in rows if not any(math.isnan(v) for v in row[:2])), key=lambda row: row[2])
    points = [Series("", (a,), (b,), shade(share), (hint,)) for a, b, share, hint in known]
    ranges = {"x_range": _range(x), "y_range": _range(y)}
    y_ticks = _shown(y, 8, 120)
    return Panel(
        f"{y.title} over {x.title.removesuffix(LOG)}",
        x.title,
        tuple(points),
        **ranges,
        x_ticks=_shown(x, 5, svg.letters_below(y_ticks)),
        y_ticks=y_ticks,
    )


def _range(axis: Axis) -> tuple[float, float]:
    edge = 0.0 if axis.categories else 0.06 * (axis.high - axis.low)
    return axis.low - edge, axis.high + edge


def _shown(axis: Axis, most: int, letters: int) -> tuple[tuple[float, str], ...]:
    """Return the ticks of an axis: of names at most `most`, cut so that all of them have room in so many letters."""
    if not axis.categories:
        return axis.ticks
    shown = axis.ticks[:: -(-len(axis.ticks) // most)]
    return tuple((place, shortened(text, min(24, letters // len(shown) - 1))) for place, text in shown)


def _foot(axis: Axis) -> float:
    """Return the lower end of an axis; where a setting may be missing there is room for it below."""
    return axis.low if axis.complete else axis.low - 0.12 * (axis.high - axis.low)


def _heights(axis: Axis) -> list[float]:
    foot = _foot(axis)
    shares = [(foot if math.isnan(v) else v) - foot for v in axis.positions]
    return [HEIGHT - BOTTOM - share / (axis.high - foot) * (HEIGHT - TOP - BOTTOM) for share in shares]


def _drawn(axis: Axis, x: float, letters: int) -> dict[str, Any]:
    foot = _foot(axis)
    marks = axis.ticks if axis.complete else ((foot, UNSET), *axis.ticks)
    scale = (HEIGHT - TOP - BOTTOM) / (axis.high - foot)
    texts = [(round(HEIGHT - BOTTOM - (place - foot) * scale, 1), shortened(text, letters)) for place, text in marks]
    ticks = [{"y": y, "text": text} for y, text in svg.apart(texts, lambda _: LINE)]
    return {"x": round(x), "title": _in_lines(axis.title), "ticks": ticks}


def _in_lines(title: str) -> list[str]:
    """Return a title in at most two lines that fit between axes."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + len(word) >= _TITLE and len(lines) < 2:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [shortened(line, _TITLE + 4) for line in lines]


def _not_completed(trials: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Return the trials that were stopped or failed, by number, with the first line of the reason."""
    rows = trials[trials["status"] != "Completed"].sort_values("trial").to_dict("records")
    return [
        {
            "trial": row["trial"],
            "model": row["model_name"],
            "status": row["status"],
            "epochs": row["epochs"],
            "metric": number(row[metric]),
            "why": (row["note"] or DASH).splitlines()[0] if isinstance(row["note"], str) and row["note"] else DASH,
        }
        for row in rows
    ]


def _effort(trials: pd.DataFrame) -> Sequence[dict[str, Any]]:
    """Return the trials, the longest first, with bars of their time and epochs as shares of the most."""
    seconds, epochs = (max(float(trials[name].max()), 1e-9) for name in ("seconds", "epochs"))
    models = sorted(trials["model_name"].unique())
    ordered = trials.sort_values(["seconds", "trial"], ascending=[False, True]).to_dict("records")
    return [
        {
            "trial": row["trial"],
            "model": row["model_name"],
            "colour": PALETTE[models.index(row["model_name"]) % len(PALETTE)],
            "time": duration(float(row["seconds"])),
            "time_bar": row["seconds"] / seconds,
            "epochs": row["epochs"],
            "epochs_bar": row["epochs"] / epochs,
        }
        for row in ordered
    ]
