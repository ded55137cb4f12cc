"""What the charts show, and the charts as Plotly figures for kedro-viz.

Owns the choice of series, their order and colour. `svg.py` draws the same panels for the report, which needs no script.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects as go

PALETTE = ("#3f7fc4", "#d9762b", "#3b9c72", "#b3589a", "#7b6bd0", "#ad8a2e", "#3b9fb3", "#a0614a")
"""Middle tones that read on white and on black; neighbours differ for colour-blind readers too."""

MUTED = "#9aa3ad"
_INK = "#77808a"
_GRID = "rgba(128, 138, 150, 0.22)"
_WORST_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """One line.

    Attributes:
        name: for the legend; empty: not in it.
        x, y: the points, in drawing order.
        colour: of the line.
        hints: a text a point, shown where the reader points.
        strong, dashed: looks.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    hints: tuple[str, ...] = ()
    strong: bool = False
    dashed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes with its lines; `x_range` and `y_range` are None where the data decide."""

    title: str
    x_title: str
    series: tuple[Series, ...]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def words(name: str) -> str:
    """Return a name of the code as words: `mean_average_precision` as `mean average precision`."""
    return name.replace("_", " ")


def learning_panels(curves: pd.DataFrame, primary_metric: str) -> list[Panel]:
    """Return the primary metric and the losses over epochs.

    Args:
        curves: columns `trial`, `model_name`, `epoch` (from 1), `metric`, `value`.
        primary_metric: larger is better; the trial that reached most is drawn strongest.
    """
    best = _best_trial(curves, primary_metric)
    trained, judged = (_lines(curves, name, best) for name in ("log_loss_train", "log_loss"))
    several = curves["trial"].nunique() > 1
    losses = [
        *(line if several else dataclasses.replace(line, name="training") for line in trained),
        *(dataclasses.replace(line, name="" if several else "validation", dashed=True) for line in judged),
    ]
    title = "loss (dashed: validation)" if several and judged else "loss"
    panels = [
        Panel(words(primary_metric), "epoch", tuple(_lines(curves, primary_metric, best)), y_range=(0.0, 1.0)),
        Panel(title, "epoch", tuple(losses)),
    ]
    return [panel for panel in panels if panel.series]


def precision_recall_panel(evaluation: Mapping[str, Any]) -> Panel:
    """Return precision over recall of all classes; of many classes only the worst have a colour of their own.

    Args:
        evaluation: with `pr_curves` and `per_label_metrics`; undefined points (-1) are left out.
    """
    curves = evaluation.get("pr_curves", {})
    rows = evaluation.get("per_label_metrics", [])
    names = [row["class_name"] for row in sorted(rows, key=lambda row: (row["average_precision"], row["class_name"]))]
    coloured = sorted(names) if len(names) <= len(PALETTE) else names[:_WORST_SHOWN]
    colours = {name: PALETTE[i] for i, name in enumerate(coloured)}
    lines = [
        _curve(name if name in colours else "", curves[f"pr_curve_{name}"], colours.get(name, MUTED))
        for name in [*(n for n in names if n not in colours), *coloured]
        if f"pr_curve_{name}" in curves
    ]
    if len(names) > 1 and "pr_curve" in curves:
        lines.append(_curve("all classes", curves["pr_curve"], _INK, strong=True))
    shown = tuple(line for line in lines if line.x)
    return Panel("precision over recall", "recall", shown, (0.0, 1.0), (0.0, 1.0))


def learning_curves(curves: pd.DataFrame, primary_metric: str) -> go.Figure:
    """Return the primary metric and the losses of all trials over epochs as a Plotly figure; see `learning_panels`."""
    return _figure(learning_panels(curves, primary_metric))


def precision_recall(evaluation: Mapping[str, Any]) -> go.Figure:
    """Return the precision-recall curves as a Plotly figure; see `precision_recall_panel`."""
    return _figure([precision_recall_panel(evaluation)])


def confusion_matrix(evaluation: Mapping[str, Any]) -> go.Figure:
    """Return who was taken for whom as a Plotly heat map.

    Colour is the share of a row, text the count; the last row are detections where nothing was annotated.
    """
    import plotly.graph_objects as go

    columns, rows = confusion_rows(evaluation)
    figure = go.Figure(
        go.Heatmap(
            z=[row["shares"] for row in rows],
            text=[["" if count is None else str(count) for count in row["counts"]] for row in rows],
            x=columns,
            y=[row["name"] for row in rows],
            texttemplate="%{text}",
            colorscale=[[0, "rgba(63, 127, 196, 0.04)"], [1, PALETTE[0]]],
            showscale=False,
            zmin=0,
            zmax=1,
        )
    )
    figure.update_layout(template=_template(), xaxis_title="predicted", yaxis_title="annotated")
    return figure.update_yaxes(autorange="reversed")


def confusion_rows(evaluation: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the matrix ready to show: column names, and rows of `name`, `counts` and `shares` (of the row, in [0, 1]).

    The row `background` counts detections that took no object; it has no count in the column of missed objects.
    """
    matrix = evaluation.get("confusion_matrix")
    if not matrix:
        return [], []
    columns = list(matrix["class_labels"])
    rows = [*zip(columns, matrix["matrix"], strict=False)]
    if "background" in matrix:
        rows.append(("background", [*matrix["background"], None]))
    return columns, [{"name": name, "counts": counts, "shares": _shares(counts)} for name, counts in rows]


def _shares(counts: Sequence[int | None]) -> list[float]:
    total = sum(count or 0 for count in counts) or 1
    return [round((count or 0) / total, 4) for count in counts]


def _best_trial(curves: pd.DataFrame, metric: str) -> Any:
    values = curves[(curves["metric"] == metric) & curves["value"].notna()]
    ordered = values.sort_values(["value", "trial"], ascending=[False, True])["trial"]
    return ordered.iloc[0] if len(ordered) else None


def _lines(curves: pd.DataFrame, metric: str, best: Any) -> list[Series]:
    """Return one line a trial, in the order of the trials."""
    chosen = curves[(curves["metric"] == metric) & curves["value"].notna()]
    groups = list(chosen.groupby("trial"))
    trials = sorted(curves["trial"].unique())
    colours = dict(zip(trials, PALETTE, strict=False)) if len(trials) <= len(PALETTE) else {}
    return [_line(trial, rows, colours.get(trial), best, alone=len(trials) == 1) for trial, rows in groups]


def _line(trial: Any, rows: pd.DataFrame, colour: str | None, best: Any, alone: bool) -> Series:
    rows = rows.sort_values("epoch")
    name = "" if alone else f"trial {trial}"
    epochs, values = rows["epoch"].astype(float), rows["value"].astype(float)
    prefix = f"{name}, " if name else ""
    hints = tuple(f"{prefix}epoch {e:.0f}: {v:.4g}" for e, v in zip(epochs, values, strict=True))
    is_best = bool(trial == best)
    named = name if colour or is_best else ""
    paint = colour or (PALETTE[0] if is_best else MUTED)
    return Series(named, tuple(epochs), tuple(values), paint, hints, strong=is_best)


def _curve(name: str, curve: Mapping[str, Sequence[float]], colour: str, strong: bool = False) -> Series:
    points: dict[tuple[float, float], float] = {}
    for threshold, precision, recall in zip(curve["thresholds"], curve["precision"], curve["recall"], strict=True):
        if precision >= 0 and recall >= 0:
            points[recall, precision] = threshold  # of equal points the highest threshold
    text = f"{name}: " if name else ""
    hints = tuple(f"{text}score ≥ {t:.2f}: precision {p:.2f}, recall {r:.2f}" for (r, p), t in points.items())
    return Series(name, tuple(r for r, _ in points), tuple(p for _, p in points), colour, hints, strong)


def _figure(panels: Sequence[Panel]) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if not panels:
        return go.Figure(layout={"template": _template()})
    figure = make_subplots(1, len(panels), subplot_titles=[panel.title for panel in panels])
    for column, panel in enumerate(panels, 1):
        for line in panel.series:
            figure.add_trace(_trace(line), 1, column)
        figure.update_xaxes(title=panel.x_title, range=panel.x_range, row=1, col=column)
        figure.update_yaxes(range=panel.y_range, row=1, col=column)
    return figure.update_layout(template=_template(), height=420)


def _trace(line: Series) -> go.Scatter:
    import plotly.graph_objects as go

    looks = {"color": line.colour, "width": 3 if line.strong else 1.6, "dash": "dash" if line.dashed else "solid"}
    mode = "lines" if len(line.x) > 1 else "markers"
    hover = {"hovertext": line.hints, "hoverinfo": "text"} if line.hints else {}
    return go.Scatter(x=line.x, y=line.y, name=line.name, mode=mode, line=looks, showlegend=bool(line.name), **hover)


def _template() -> go.layout.Template:
    import plotly.graph_objects as go

    axis = {"gridcolor": _GRID, "zeroline": False, "linecolor": _GRID, "ticks": ""}
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
            "colorway": PALETTE,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "y": -0.2},
            "margin": {"l": 56, "r": 24, "t": 48, "b": 56},
        }
    )
