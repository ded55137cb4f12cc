"""The catalogue as plain rows, for the command line and the documentation."""

from __future__ import annotations

from typing import Any

from automl_images.core.hyperparameters import resolve
from automl_images.models.catalogue import MODELS, names
from automl_images.models.weights import is_here


def listing(task: str) -> list[dict[str, Any]]:
    """Return a row for each model of a task.

    Returns:
        Rows of `task`, `model_name`, `family`, `million_parameters`, `licence`, `note`, `weights` (each with `kind`,
        `name`, `licence`, `meaning` and `here`: whether the file is on this machine) and `hyperparameters` (defaults).
    """
    return [_row(task, name) for name in names(task)]


def _row(task: str, name: str) -> dict[str, Any]:
    entry = MODELS.get(name)
    weights = [
        {"kind": s.kind, "name": s.name, "licence": s.licence, "meaning": s.meaning, "here": is_here(s)}
        for s in entry.sources
    ]
    return {
        "task": task,
        "model_name": name,
        "family": entry.family,
        "million_parameters": entry.million_parameters,
        "licence": entry.licence,
        "note": entry.note,
        "weights": weights,
        "hyperparameters": resolve(task, name, {}),
    }
