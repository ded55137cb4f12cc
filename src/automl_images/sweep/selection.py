"""Which trial wins: the best primary metric, and of equals the earlier trial; a failed one never."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from automl_images.core.errors import TrainingError


def best_trial(trials: Sequence[Mapping[str, Any]], primary_metric: str) -> Mapping[str, Any]:
    """Return the leaderboard's best row.

    Args:
        trials: rows with `trial`, `status`, `note` and the primary metric (larger is better; None or NaN: none).
        primary_metric: name of the column.

    Raises:
        TrainingError: no trial has a metric; the message holds each trial's cause.
    """
    found = judged(trials, primary_metric)
    if not found:
        causes = "\n".join(
            f"  trial {row['trial']}: {row['status']}: {row.get('note') or 'no metric'}" for row in trials
        )
        raise TrainingError(f"No trial came to a value of {primary_metric}:\n{causes}")
    return min(found, key=lambda row: (-float(row[primary_metric]), int(row["trial"])))


def judged(trials: Sequence[Mapping[str, Any]], primary_metric: str) -> list[Mapping[str, Any]]:
    """Return the rows that can win: those that came to a metric and did not fail."""
    return [row for row in trials if row["status"] != "Failed" and not _missing(row.get(primary_metric))]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
