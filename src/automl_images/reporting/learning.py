"""Learning curves: the primary metric and the losses of all trials over epochs, with a mark where one was stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from automl_images.reporting.charts import MUTED, PALETTE, Panel, Series, figure_of, words

if TYPE_CHECKING:
    import plotly.graph_objects as go

STOPPED = "stopped early"
STOP_COLOUR = "#d0453a"
_STOP_NOTE = "stopped by "


def stop_notes(trials: pd.DataFrame) -> dict[Any, str]:
    """Return why trials were stopped by an early termination policy: number to note.

    Args:
        trials: the leaderboard, with `trial` and `note`.
    """
    pairs = zip(trials["trial"], trials["note"], strict=True)
    return {trial: note for trial, note in pairs if isinstance(note, str) and note.startswith(_STOP_NOTE)}


def learning_panels(curves: pd.DataFrame, primary_metric: str, stopped: Mapping[Any, str] | None = None) -> list[Panel]:
    """Return the primary metric and the losses over epochs.

    Each of few trials has its own colour. Of many, each model has one, and only the trials in the legend have hints,
    which keeps pages small.

    Args:
        curves: columns `trial`, `model_name`, `epoch` (from 1), `metric`, `value`.
        primary_metric: larger is better; the trial that reached most is drawn strongest.
        stopped: trials that a policy stopped, with the reason.
    """
    best = _best_trial(curves, primary_metric)
    metric, trained, judged = (_lines(curves, name, best) for name in (primary_metric, "log_loss_train", "log_loss"))
    several = curves["trial"].nunique() > 1
    losses = [
        *(line if several else dataclasses.replace(line, name="training") for line in trained.values()),
        *(dataclasses.replace(line, name="" if several else "validation", dashed=True) for line in judged.values()),
    ]
    title = "loss (dashed: validation)" if several and judged else "loss"
    shown = (*metric.values(), *_marks(metric, stopped or {}))
    panels = [
        Panel(words(primary_metric), "epoch", shown, y_range=(0.0, 1.0)),
        Panel(title, "epoch", tuple(losses)),
    ]
    return [panel for panel in panels if panel.series]


def learning_curves(curves: pd.DataFrame, primary_metric: str, trials: pd.DataFrame) -> go.Figure:
    """Return the primary metric and the losses of all trials over epochs as a Plotly figure; see `learning_panels`."""
    return figure_of(learning_panels(curves, primary_metric, stop_notes(trials)))


def _best_trial(curves: pd.DataFrame, metric: str) -> Any:
    values = curves[(curves["metric"] == metric) & curves["value"].notna()]
    ordered = values.sort_values(["value", "trial"], ascending=[False, True])["trial"]
    return ordered.iloc[0] if len(ordered) else None


def _lines(curves: pd.DataFrame, metric: str, best: Any) -> dict[Any, Series]:
    """Return one line a trial, in the order of the trials."""
    chosen = curves[(curves["metric"] == metric) & curves["value"].notna()]
    looks = _looks(curves, best)
    return {
        trial: _line(trial, rows, *looks[trial], strong=bool(trial == best)) for trial, rows in chosen.groupby("trial")
    }


def _looks(curves: pd.DataFrame, best: Any) -> dict[Any, tuple[str, str]]:
    """Return name in the legend (or nothing) and colour of each trial."""
    models = curves.groupby("trial")["model_name"].first()
    names = sorted(models.unique())
    if len(models) == 1:
        return {models.index[0]: ("", PALETTE[0])}
    if len(models) <= len(PALETTE):
        return {trial: (f"trial {trial}", colour) for trial, colour in zip(models.index, PALETTE, strict=False)}
    colours = dict(zip(names, PALETTE, strict=False)) if 1 < len(names) <= len(PALETTE) else {}
    first = {model: trial for trial, model in reversed(list(models.items())) if trial != best and model in colours}
    looks = {t: (m if first.get(m) == t else "", colours.get(m, MUTED)) for t, m in models.items()}
    if best is not None:
        looks[best] = (f"trial {best}, the best", colours.get(models[best], PALETTE[0]))
    return looks


def _line(trial: Any, rows: pd.DataFrame, name: str, colour: str, *, strong: bool) -> Series:
    rows = rows.sort_values("epoch")
    epochs, values = rows["epoch"].astype(float), rows["value"].astype(float)
    prefix = f"trial {trial}, " if name else ""
    hints = tuple(f"{prefix}epoch {e:.0f}: {v:.4g}" for e, v in zip(epochs, values, strict=True))
    return Series(name, tuple(epochs), tuple(values), colour, hints if name or strong else (), strong=strong)


def _marks(lines: Mapping[Any, Series], stopped: Mapping[Any, str]) -> list[Series]:
    """Return a point at the end of each line whose trial was stopped; the first one is in the legend."""
    ends = [(trial, lines[trial]) for trial in lines if trial in stopped]
    return [
        Series(
            "" if number else STOPPED,
            line.x[-1:],
            line.y[-1:],
            STOP_COLOUR,
            (f"trial {trial}: {stopped[trial]}",),
            strong=True,
        )
        for number, (trial, line) in enumerate(ends)
    ]
