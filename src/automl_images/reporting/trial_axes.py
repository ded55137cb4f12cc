"""The trials of a sweep as points on axes: one axis for each hyper-parameter that differs, and one for the metric.

Owns which trials and hyper-parameters are compared, and scales: numbers, logarithms, categories. Drawing is done by
`sweep_charts.py` (Plotly) and `sweep_panels.py` (the page).
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from automl_images.reporting.charts import words
from automl_images.reporting.learning import stop_notes
from automl_images.reporting.svg import apart, ticks

FIXED_COLUMNS = ("job", "trial", "recipe", "status", "model_name", "epochs", "best_epoch", "seconds", "note", "folder")
"""What a leaderboard has besides the metric and hyper-parameters."""
BUDGETS = ("max_training_minutes",)
"""Hyper-parameters that nobody chose: they say how much time there was."""

MOST_CATEGORIES = 24
_LOG_RATIO = 50.0
_FEW = 6
_ROOM = 0.08
"""Share of an axis that a tick has for itself."""
_TEXT = 34
LOG = " (log)"
UNSET = "not set"


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """A scale with the place of each trial on it.

    Attributes:
        name: column of the leaderboard.
        title: for people.
        positions: a trial each; NaN where the model has no such setting.
        texts: the values of the trials.
        ticks: position and text, rising.
        low, high: ends of the scale.
        categories: positions stand for names, not for amounts.
    """

    name: str
    title: str
    positions: tuple[float, ...]
    texts: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    low: float
    high: float
    categories: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether every trial has a place."""
        return not any(math.isnan(position) for position in self.positions)


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The trials of a sweep that can be compared, by number.

    Attributes:
        trials: their rows of the leaderboard.
        metric: the scale of the primary metric.
        axes: of the model, then of hyper-parameters, those that mattered most first.
        importance: name to share, the largest first; empty for few trials.
        stopped: by a policy: trial to note.
    """

    trials: pd.DataFrame
    metric: Axis
    axes: tuple[Axis, ...]
    importance: Mapping[str, float]
    stopped: Mapping[Any, str]

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the trials."""
        return [int(number) for number in self.trials["trial"]]

    @property
    def amounts_first(self) -> list[Axis]:
        """Return the axes that all trials have before the others, and amounts before names."""
        return sorted(self.axes, key=lambda axis: (not axis.complete, axis.categories))

    @property
    def hints(self) -> list[str]:
        """Return a line a trial: number, metric, and all that differs."""
        columns = [self.metric, *self.axes]
        lines = zip(
            *([f"{axis.title.removesuffix(LOG)} {text}" for text in axis.texts] for axis in columns), strict=True
        )
        return [f"trial {number}: {', '.join(line)}" for number, line in zip(self.numbers, lines, strict=True)]

    @property
    def shades(self) -> list[float]:
        """Return the place of each trial's metric from the worst tenth (0) to the best (1)."""
        values = sorted(self.metric.positions)
        low, high = (values[len(values) // 10], values[-1]) if values else (0.0, 0.0)
        return [min(1.0, max(0.0, (v - low) / (high - low))) if high > low else 1.0 for v in self.metric.positions]


def compare(trials: pd.DataFrame, metric: str) -> Comparison:
    """Return what a leaderboard lets one compare.

    Args:
        trials: the leaderboard, also one read back from a file.
        metric: the column of the primary metric; larger is better.
    """
    from automl_images.sweep.importance import importances

    rows = judged(trials, metric)
    axes = trial_axes(rows, metric)
    score = axis_of(metric, [float(value) for value in rows[metric]], log=False)
    columns = {axis.name: axis.texts if axis.categories else axis.positions for axis in axes if axis.complete}
    importance = importances(columns, score.positions)
    ordered = sorted(axes, key=lambda axis: (axis.name != "model_name", -importance.get(axis.name, 0.0)))
    return Comparison(rows, score, tuple(ordered), importance, stop_notes(rows))


def judged(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the trials that can be compared, by number: those that did not fail and have a finite metric."""
    values = pd.to_numeric(trials[metric], errors="coerce")
    return trials[(trials["status"] != "Failed") & values.map(math.isfinite)].sort_values("trial")


def varying(trials: pd.DataFrame, metric: str) -> list[str]:
    """Return the hyper-parameters in which trials of one model differ, in the order of the leaderboard."""
    others = [name for name in trials.columns if name not in {*FIXED_COLUMNS, *BUDGETS, metric}]
    return [name for name in others if _differs(trials, name)]


def trial_axes(trials: pd.DataFrame, metric: str) -> list[Axis]:
    """Return an axis for `model_name`, where there are several, and for each hyper-parameter that differs.

    Args:
        trials: what `judged` returned.
        metric: name of its column.
    """
    names = ["model_name"] if trials["model_name"].nunique() > 1 else []
    made = [axis_of(name, trials[name].tolist()) for name in [*names, *varying(trials, metric)]]
    return [axis for axis in made if not axis.categories or len(axis.ticks) <= MOST_CATEGORIES]


def axis_of(name: str, values: Sequence[Any], *, log: bool = True) -> Axis:
    """Return a column's scale: of names where one is no number; with `log` of logarithms where all lie far apart."""
    known = [value for value in values if not _missing(value)]
    if not all(_is_number(value) for value in known):
        return _categories(name, values)
    log = log and bool(known) and min(known) > 0 and max(known) / min(known) >= _LOG_RATIO
    positions = [math.nan if _missing(v) else math.log10(v) if log else float(v) for v in values]
    there = sorted({position for position in positions if not math.isnan(position)})
    low, high = (there[0], there[-1]) if there else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    marks = _few_or_round(there, low, high, log)
    return Axis(name, _title(name, log), tuple(positions), tuple(map(_text, values)), tuple(marks), low, high)


def _few_or_round(values: Sequence[float], low: float, high: float, log: bool) -> list[tuple[float, str]]:
    """Return ticks that stand apart: few values themselves, else round ones.

    Where values are too near to each other, one of them is named; on a logarithmic scale that would be no guide to
    those between, so it gets round ones.
    """

    def roomy(places: Sequence[float]) -> list[float]:
        return [place for place, _ in apart([(place, "") for place in places], lambda _: _ROOM * (high - low))]

    places = roomy(values)
    if len(values) > _FEW or (log and len(places) < len(values)):
        places = roomy(_round_places(low, high, log))
    return list(zip(places, _told_apart([10**place if log else place for place in places]), strict=True))


def _told_apart(values: Sequence[float]) -> list[str]:
    """Return numbers with four digits, or with as many more as it takes to tell them apart."""
    lists = ([f"{value:.{digits}g}" for value in values] for digits in range(4, 17))
    return next((texts for texts in lists if len({*texts}) == len(texts)), [_text(value) for value in values])


def _round_places(low: float, high: float, log: bool) -> list[float]:
    if not log:
        return ticks(low, high)
    values = [10.0**k * factor for k in range(math.floor(low), math.ceil(high) + 1) for factor in (1, 2, 5)]
    inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    decades = [value for value in inside if math.log10(value).is_integer()]
    return [math.log10(value) for value in (decades if len(decades) > 2 else inside)]


def _categories(name: str, values: Sequence[Any]) -> Axis:
    texts = [_text(value) for value in values]
    known = sorted({text for text, value in zip(texts, values, strict=True) if not _missing(value)}, key=_order)
    places = {text: float(number) for number, text in enumerate(known)}
    positions = tuple(math.nan if _missing(v) else places[t] for t, v in zip(texts, values, strict=True))
    marks = tuple((place, shortened(text, _TEXT)) for text, place in places.items())
    return Axis(name, _title(name, False), positions, tuple(texts), marks, -0.5, max(0.5, len(places) - 0.5), True)


def shortened(text: str, length: int) -> str:
    """Return a text of at most so many letters, without its middle where it is longer: names differ at their ends."""
    return text if len(text) <= length else f"{text[: length // 2]}…{text[len(text) - (length - 1) // 2 :]}"


def _differs(trials: pd.DataFrame, name: str) -> bool:
    groups = trials.assign(value=trials[name].map(str)).groupby("model_name")["value"]
    return bool((groups.nunique() > 1).any())


def _order(text: str) -> tuple[float, str]:
    """Sort numbers by their value, before names."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _title(name: str, log: bool) -> str:
    title = "model" if name == "model_name" else words(name)
    return title + LOG if log else title


def _text(value: Any) -> str:
    if _missing(value):
        return "–"
    return f"{value:.4g}" if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
