"""Lines on axes: what charts are made of, the charts of an evaluation, and both as Plotly figures for kedro-viz.

Owns the choice of series, their order and colour. `svg.py` draws the same panels for the report, which needs no script.
`learning.py` makes panels of learning curves, `sweep_charts.py` those of a sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

PALETTE = ("#3f7fc4", "#d9762b", "#3b9c72", "#b3589a", "#7b6bd0", "#ad8a2e", "#3b9fb3", "#a0614a")
"""Middle tones that read on white and on black; neighbours differ for colour-blind readers too."""

MUTED = "#9aa3ad"
WORST_SHOWN, GREY_SHOWN = 5, 40
"""Of many classes: how many of the weakest have a colour, and how many of the next are drawn in grey."""

_INK = "#77808a"
_GRID = "rgba(128, 138, 150, 0.22)"
_SHORT = {"iou": "IoU", "auc": "AUC", "f1": "F1"}


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
    """One pair of axes with its lines; ranges and ticks (position and text) are None where the data decide."""

    title: str
    x_title: str
    series: tuple[Series, ...]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_ticks: tuple[tuple[float, str], ...] | None = None
    y_ticks: tuple[tuple[float, str], ...] | None = None


def words(name: str) -> str:
    """Return a name of the code as words: `mean_average_precision` as `mean average precision`."""
    return " ".join(_SHORT.get(word, word) for word in name.split("_"))


def main_number(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return by which number classes are compared: F1 where each image has classes, average precision of objects."""
    return "f1_score" if rows and "f1_score" in rows[0] else "average_precision"


def weakest_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of classes by rising main number; those in which it is undefined (-1) come last."""
    name = main_number(rows)
    return sorted(rows, key=lambda row: (row[name] < 0, row[name], row["class_name"]))


def evaluation_panels(evaluation: Mapping[str, Any]) -> list[Panel]:
    """Return every curve that an evaluation has, in fixed order: precision over recall, ROC, gains, lift, calibration.

    Args:
        evaluation: with `pr_curves` and, where the model gives each class a probability, `roc_curves`, `gain_curves`,
            `lift_curves` and `calibration_curve`: name (of a class, or `all classes`) to `x` and `y`. Rows of
            `per_label_metrics` name the classes. Undefined points (-1) are left out.
    """
    panels = [precision_recall_panel(evaluation), *(_curves_panel(evaluation, kind) for kind in _KINDS)]
    return [panel for panel in panels if panel.series]


def precision_recall_panel(evaluation: Mapping[str, Any]) -> Panel:
    """Return precision over recall of all classes; see `evaluation_panels`."""
    curves = evaluation.get("pr_curves", {})
    prefix = "pr_curve_"
    by_class = {name.removeprefix(prefix): curve for name, curve in curves.items() if name.startswith(prefix)}
    lines = [_precision_recall_line(look, by_class[look.label]) for look in _looks(evaluation, by_class)]
    if len(by_class) > 1 and "pr_curve" in curves:
        lines.append(_precision_recall_line(_MEAN, curves["pr_curve"]))
    shown = tuple(line for line in lines if line.x)
    return Panel("precision over recall", "recall", shown, (0.0, 1.0), (0.0, 1.0))


def evaluation_curves(evaluation: Mapping[str, Any]) -> go.Figure:
    """Return every curve of an evaluation as one Plotly figure; see `evaluation_panels`."""
    return figure_of(evaluation_panels(evaluation))


@dataclasses.dataclass(frozen=True, slots=True)
class _Look:
    """How the curve of a class is drawn; classes that are not `named` are grey, without entry in the legend."""

    label: str
    colour: str = MUTED
    named: bool = False
    strong: bool = False

    def series(self, points: Mapping[tuple[float, float], str]) -> Series:
        """Return the line through points, each with its hint; grey lines have none, which keeps pages small."""
        hints = tuple(f"{self.label}: {hint}" for hint in points.values()) if self.named else ()
        name = self.label if self.named else ""
        return Series(name, tuple(x for x, _ in points), tuple(y for _, y in points), self.colour, hints, self.strong)


_MEAN = _Look("all classes", _INK, named=True, strong=True)


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """A chart of curves given as `x` and `y`, with the line of a model that knows nothing (or everything)."""

    key: str
    title: str
    x_title: str
    baseline: str
    y_title: str
    line: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 1.0), (0.0, 1.0))
    y_range: tuple[float, float] | None = (0.0, 1.0)


_KINDS = (
    _Kind("roc_curves", "ROC", "false positive rate", "chance", "true positive rate"),
    _Kind("gain_curves", "cumulative gains", "share of images, most likely first", "random order", "share found"),
    _Kind(
        "lift_curves",
        "lift",
        "share of images, most likely first",
        "random order",
        "lift",
        ((0.0, 1.0), (1.0, 1.0)),
        None,
    ),
    _Kind("calibration_curve", "calibration", "predicted probability", "perfect", "observed share"),
)


def _curves_panel(evaluation: Mapping[str, Any], kind: _Kind) -> Panel:
    curves = evaluation.get(kind.key) or {}
    looks = _looks(evaluation, curves)
    if len(looks) > 1 and _MEAN.label in curves:
        looks.append(_MEAN)
    lines = [line for look in looks if (line := look.series(_points(curves[look.label], kind))).x]
    if lines:
        lines.append(Series(kind.baseline, *kind.line, MUTED, dashed=True))
    title = kind.title if kind.title == kind.y_title else f"{kind.title}: {kind.y_title}"
    return Panel(title, kind.x_title, tuple(lines), (0.0, 1.0), kind.y_range)


def _points(curve: Mapping[str, Sequence[float]], kind: _Kind) -> dict[tuple[float, float], str]:
    pairs = [(x, y) for x, y in zip(curve["x"], curve["y"], strict=True) if x >= 0 and y >= 0]
    return {(x, y): f"{kind.x_title} {x:.2f}, {kind.y_title} {y:.2f}" for x, y in pairs}


def _looks(evaluation: Mapping[str, Any], curves: Mapping[str, Any]) -> list[_Look]:
    """Return the classes that have a curve, in drawing order; of many classes only the weakest have a colour."""
    names = [row["class_name"] for row in weakest_first(evaluation.get("per_label_metrics", []))]
    coloured = sorted(names) if len(names) <= len(PALETTE) else names[:WORST_SHOWN]
    grey = [name for name in names if name not in coloured][:GREY_SHOWN]
    looks = [_Look(n) for n in grey] + [_Look(n, PALETTE[i], named=True) for i, n in enumerate(coloured)]
    return [look for look in looks if look.label in curves]


def _precision_recall_line(look: _Look, curve: Mapping[str, Sequence[float]]) -> Series:
    points: dict[tuple[float, float], str] = {}
    for threshold, precision, recall in zip(curve["thresholds"], curve["precision"], curve["recall"], strict=True):
        if precision >= 0 and recall >= 0:  # of equal points the highest threshold
            points[recall, precision] = f"score ≥ {threshold:.2f}: precision {precision:.2f}, recall {recall:.2f}"
    return look.series(points)


def figure_of(panels: Sequence[Panel]) -> go.Figure:
    """Return panels as one Plotly figure with one legend."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if not panels:
        return go.Figure(layout={"template": template()})
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    titles = [panel.title for panel in panels]
    figure = make_subplots(rows, columns, subplot_titles=titles, vertical_spacing=0.36 / rows)
    shown: set[str] = set()
    for i, panel in enumerate(panels):
        at = {"row": i // columns + 1, "col": i % columns + 1}
        for line in panel.series:
            figure.add_trace(_trace(line, in_legend=bool(line.name) and line.name not in shown), **at)
            shown.add(line.name)
        figure.update_xaxes(title=panel.x_title, range=panel.x_range, **at)
        figure.update_yaxes(range=panel.y_range, **at)
    return figure.update_layout(template=template(), height=420 * rows, legend_y=-0.2 / rows)


def _trace(line: Series, in_legend: bool) -> go.Scatter:
    import plotly.graph_objects as go

    looks = {"color": line.colour, "width": 3 if line.strong else 1.6, "dash": "dash" if line.dashed else "solid"}
    mode = "lines" if len(line.x) > 1 else "markers"
    hover = {"hovertext": line.hints, "hoverinfo": "text"} if line.hints else {}
    group = {"legendgroup": line.name, "showlegend": in_legend}
    return go.Scatter(x=line.x, y=line.y, name=line.name, mode=mode, line=looks, **group, **hover)


def template() -> go.layout.Template:
    """Return the looks of all Plotly figures: colours that read on light and on dark, nothing that distracts."""
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
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": _INK},
            "margin": {"l": 56, "r": 24, "t": 48, "b": 56},
        }
    )
