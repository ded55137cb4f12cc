"""The charts of a sweep as Plotly figures, for kedro-viz and for a page of their own that can be turned and filtered.

Every figure takes the leaderboard; where there are too few trials for a chart, it holds a sentence instead. The report,
which has no script, draws the same comparison in `sweep_panels.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from automl_images.reporting.charts import MUTED, PALETTE, template, words
from automl_images.reporting.learning import STOP_COLOUR, STOPPED, stop_notes
from automl_images.reporting.trial_axes import UNSET, Axis, Comparison, compare, shortened

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHADES = ("#4c78c8", "#a65bb0", "#e0683c")
"""From the worst to the best metric; middle tones that read on white and on black."""

MOST_PARALLEL = 10
_MOST_PAIRED, _MOST_IN_SPACE = 6, 4
_LETTERS = 110
"""Between the first and the last of parallel axes."""
_CAMERA = {"eye": {"x": 1.6, "y": 1.6, "z": 1.0}, "center": {"x": 0, "y": 0, "z": -0.2}}
_TOO_FEW = "Fewer than two trials came to a metric: there is nothing to compare."
_NOTHING_DIFFERS = "The trials do not differ in any hyper-parameter."


def sweep_figures(trials: pd.DataFrame, metric: str) -> dict[str, go.Figure]:
    """Return every chart of a sweep but the learning curves, by name.

    Args:
        trials: the leaderboard.
        metric: the column of the primary metric; larger is better.
    """
    comparison = compare(trials, metric)
    return {
        "parallel_coordinates": parallel_coordinates(comparison),
        "scatter": scatter(comparison),
        "scatter_3d": scatter_3d(comparison),
        "importance": importance_bars(comparison),
        "effort": effort_bars(trials),
    }


def interactive_page(figures: Mapping[str, go.Figure], title: str) -> str:
    """Return figures as one HTML page that loads nothing: it holds Plotly itself (5 MB) where there is data to draw.

    Args:
        figures: by name; those without data are shown as the sentence that they hold.
        title: of the page, escaped here.
    """
    from markupsafe import escape
    from plotly.offline import get_plotlyjs

    parts = []
    for name, figure in figures.items():
        if figure.data:
            body = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
        else:
            body = f"<p>{' '.join(escape(note.text) for note in figure.layout.annotations)}</p>"
        parts.append(f"<section><h2>{escape(words(name))}</h2>{body}</section>")
    script = get_plotlyjs() if any(figure.data for figure in figures.values()) else ""
    return _PAGE.format(title=escape(title), script=script, body="\n".join(parts))


def parallel_coordinates(comparison: Comparison) -> go.Figure:
    """Return a line a trial through its hyper-parameters to its metric; a missing one is at the foot of its axis."""
    import plotly.graph_objects as go

    if sentence := _why_not(comparison):
        return _only(sentence)
    axes = [*comparison.axes[:MOST_PARALLEL], comparison.metric]
    line = {"color": comparison.shades, "colorscale": _colour_scale(), "cmin": 0, "cmax": 1}
    first, *others = axes
    dimensions = [_dimension(first), *(_dimension(axis, _LETTERS // len(others)) for axis in others)]
    drawn = go.Parcoords(dimensions=dimensions, line=line, labelangle=-12, labelfont_size=13)
    return _laid_out([drawn], height=480, margin={"l": 220, "r": 110, "t": 96, "b": 32})


def scatter(comparison: Comparison) -> go.Figure:
    """Return trials over two hyper-parameters, coloured by metric, with a menu of pairs, the most important first."""
    return _pointed(comparison, 2, _MOST_PAIRED)


def scatter_3d(comparison: Comparison) -> go.Figure:
    """Return trials over three hyper-parameters, coloured by metric, with a menu; of two, the metric is the third."""
    return _pointed(comparison, 3, _MOST_IN_SPACE)


def importance_bars(comparison: Comparison) -> go.Figure:
    """Return how much of the metric's variance each hyper-parameter explains."""
    import plotly.graph_objects as go

    from automl_images.sweep.importance import FEWEST_TRIALS

    if not comparison.importance:
        return _only(f"Importance needs {FEWEST_TRIALS} trials with a metric and a hyper-parameter that differs.")
    titles = {axis.name: axis.title for axis in comparison.axes}
    pairs = [(share, titles[name]) for name, share in reversed(list(comparison.importance.items()))]
    shares, names = zip(*pairs, strict=True)
    bars = go.Bar(
        x=shares, y=names, orientation="h", marker_color=PALETTE[0], hovertemplate="%{y}: %{x:.0%}<extra></extra>"
    )
    axes = {
        "xaxis": {"tickformat": ".0%", "title": "share of the variance of the metric"},
        "yaxis": {"automargin": True},
    }
    return _laid_out([bars], height=120 + 34 * len(pairs), **axes)


def effort_bars(trials: pd.DataFrame) -> go.Figure:
    """Return epochs and time of each trial, coloured by model; what a policy stopped is outlined."""
    import plotly.graph_objects as go

    if len(trials) < 2:
        return _only("The job had a single trial.")
    stopped = stop_notes(trials)
    models = sorted(trials["model_name"].unique())
    bars = []
    for number, model in enumerate(models):
        rows = trials[trials["model_name"] == model]
        edge = [STOP_COLOUR if trial in stopped else MUTED for trial in rows["trial"]]
        width = [2.5 if trial in stopped else 0 for trial in rows["trial"]]
        common = {
            "x": rows["trial"],
            "legendgroup": model,
            "name": model,
            "showlegend": False,  # the mark would have the outline of the first bar
            "hovertext": _ends(rows),
            "hoverinfo": "text",
            "width": 0.8,
        }
        colour = PALETTE[number % len(PALETTE)]
        look = {"color": colour, "line": {"color": edge, "width": width}}
        bars.append(go.Bar(y=rows["epochs"], marker=look, **common))
        bars.append(go.Bar(y=rows["seconds"] / 60, marker=look, yaxis="y2", xaxis="x2", **common))
        bars.append(_legend_mark(model, color=colour))
    figure = _laid_out(bars, height=520, barmode="overlay", legend_y=-0.16)
    figure.update_layout(
        xaxis={"matches": "x2", "showticklabels": False},
        xaxis2={"anchor": "y2", "title": "trial"},
        yaxis={"domain": [0.56, 1], "title": "epochs"},
        yaxis2={"domain": [0, 0.44], "title": "minutes", "anchor": "x2"},
    )
    if stopped:
        figure.add_trace(_legend_mark(STOPPED, color="rgba(0,0,0,0)", line={"color": STOP_COLOUR, "width": 2.5}))
    return figure


def _legend_mark(name: str, **look: Any) -> go.Bar:
    """Return a bar without height that stands in the legend for all bars of its name."""
    import plotly.graph_objects as go

    return go.Bar(x=[None], y=[None], name=name, legendgroup=name, marker=look)


def _why_not(comparison: Comparison) -> str:
    if len(comparison.trials) < 2:
        return _TOO_FEW
    return "" if comparison.axes else _NOTHING_DIFFERS


def _only(sentence: str) -> go.Figure:
    """Return a figure that says why there is no chart."""
    nothing = {"visible": False}
    note = {"text": sentence, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    return _laid_out([], height=160, xaxis=nothing, yaxis=nothing, annotations=[note])


def _laid_out(traces: Sequence[Any], **layout: Any) -> go.Figure:
    import plotly.graph_objects as go

    return go.Figure(list(traces)).update_layout(template=template(), **layout)


def _colour_scale() -> list[list[Any]]:
    return [[number / (len(SHADES) - 1), shade] for number, shade in enumerate(SHADES)]


def _dimension(axis: Axis, letters: int = _LETTERS) -> dict[str, Any]:
    """Return an axis of parallel coordinates; its ticks have room for so many letters at its left."""
    foot = axis.low - 0.12 * (axis.high - axis.low)
    ticks = axis.ticks if axis.complete else ((foot, UNSET), *axis.ticks)
    return {
        "label": axis.title,
        "values": [foot if math.isnan(position) else position for position in axis.positions],
        "range": [axis.low if axis.complete else foot, axis.high],
        "tickvals": [place for place, _ in ticks],
        "ticktext": [shortened(text, letters) for _, text in ticks],
    }


def _pointed(comparison: Comparison, size: int, most: int) -> go.Figure:
    """Return trials over `size` axes, with a menu of the combinations of the first `most` hyper-parameters."""
    import plotly.graph_objects as go

    if sentence := _why_not(comparison):
        return _only(sentence)
    axes = comparison.amounts_first[:most]
    axes = axes if len(axes) >= size else [*axes, comparison.metric]
    if len(axes) < size:
        return _only("The trials differ in one hyper-parameter only.")
    views = list(itertools.combinations(axes, size))
    marker = {
        "color": comparison.shades,
        "colorscale": _colour_scale(),
        "cmin": 0,
        "cmax": 1,
        **_colour_bar(comparison),
    }
    common = {"mode": "markers", "hovertext": comparison.hints, "hoverinfo": "text"}
    first = dict(zip("xyz", (axis.positions for axis in views[0]), strict=False))
    if size == 2:
        trace = go.Scatter(**first, marker={**marker, "size": 12}, **common)
        figure = _laid_out([trace], height=520, **_titled(views[0]))
        figure.update_xaxes(automargin=True).update_yaxes(automargin=True)
    else:
        trace = go.Scatter3d(**first, marker={**marker, "size": 6}, **common)
        figure = _laid_out(
            [trace],
            height=620,
            scene={**_titled(views[0]), "aspectmode": "cube", "camera": _CAMERA},
            margin={"l": 0, "r": 0, "t": 56, "b": 0},
        )
    if len(views) > 1:
        buttons = [_button(view) for view in views]
        figure.update_layout(
            updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}]
        )
    return figure


def _titled(view: Sequence[Axis]) -> dict[str, Any]:
    """Return the settings of the axes of a view: `xaxis`, `yaxis` and, of three, `zaxis`."""
    return {f"{letter}axis": _scale(axis) for letter, axis in zip("xyz", view, strict=False)}


def _scale(axis: Axis) -> dict[str, Any]:
    edge = 0.0 if axis.categories else 0.05 * (axis.high - axis.low)
    places, texts = zip(*axis.ticks, strict=True) if axis.ticks else ((), ())
    return {
        "title": {"text": axis.title},
        "tickvals": places,
        "ticktext": texts,
        "range": [axis.low - edge, axis.high + edge],
    }


def _button(view: Sequence[Axis]) -> dict[str, Any]:
    places = dict(zip("xyz", ([axis.positions] for axis in view), strict=False))
    titled = _titled(view)
    layout = titled if len(view) == 2 else {f"scene.{name}": scale for name, scale in titled.items()}
    return {"label": " × ".join(axis.title for axis in view), "method": "update", "args": [places, layout]}


def _colour_bar(comparison: Comparison) -> dict[str, Any]:
    """Return the legend of the colours: the metric at its ends."""
    pairs = sorted(
        zip(comparison.shades, comparison.metric.texts, comparison.metric.positions, strict=True), key=lambda p: p[2]
    )
    low = next((text for shade, text, _ in reversed(pairs) if shade == 0.0), pairs[0][1])
    bar = {"title": {"text": comparison.metric.title, "side": "right"}, "tickvals": [0, 1], "thickness": 14, "len": 0.7}
    return {"colorbar": {**bar, "ticktext": [f"≤ {low}", pairs[-1][1]]}}


def _ends(rows: pd.DataFrame) -> Iterable[str]:
    return [
        f"trial {row['trial']}, {row['model_name']}: {row['status']}, "
        f"{row['epochs']} epochs, {row['seconds'] / 60:.1f} min"
        + (f"<br>{row['note']}" if isinstance(row["note"], str) and row["note"] else "")
        for row in rows.to_dict("records")
    ]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:">
<link rel="icon" href="data:,"><title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:1180px;margin:32px auto;padding:0 20px}}
h1{{font-size:28px}}h2{{font-size:19px;margin:36px 0 4px}}h2::first-letter{{text-transform:uppercase}}</style>
<script>{script}</script></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""  # noqa: E501
