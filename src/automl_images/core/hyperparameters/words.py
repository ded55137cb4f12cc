"""Rows of the table in words, for documentation, the command line and the schema of parameters files."""

from __future__ import annotations

from typing import Any

from automl_images.core.hyperparameters.row import Hyperparameter


def range_of(row: Hyperparameter) -> str:
    """Return type and range, such as `int in [1, ∞)`."""
    if row.choices:
        return ", ".join(row.choices)
    if row.minimum is None and row.maximum is None:
        return {"json": "JSON object", "grid": "text such as 3x2"}.get(row.kind, row.kind)
    high = "∞" if row.maximum is None else f"{row.maximum:g}"
    end = ")" if row.maximum is None or row.open_maximum else "]"
    return f"{row.kind} in [{row.minimum or 0:g}, {high}{end}"


def defaults_of(row: Hyperparameter) -> str:
    """Return the default and, behind it, the groups of models that have another, the first that fits first."""
    return "; ".join([value_of(row.default), *(f"{models.words}: {value_of(value)}" for models, value in row.defaults)])


def value_of(value: Any) -> str:
    """Return a value as it is typed in YAML; `not set` for None."""
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_dict(row: Hyperparameter) -> dict[str, Any]:
    """Return all of a row as JSON-serialisable dictionary."""
    return {
        "name": row.name,
        "other_spellings": list(row.aliases),
        "type": row.kind,
        "minimum": row.minimum,
        "maximum": row.maximum,
        "maximum_is_included": not row.open_maximum,
        "choices": list(row.choices),
        "default": row.default,
        "other_defaults": [{"models": models.words, "default": value} for models, value in row.defaults],
        "applies_to": row.applies_to.words,
        "meaning": row.meaning,
        "addition_to_azure": row.ours,
    }
