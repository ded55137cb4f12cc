"""The one table of hyper-parameters: names, other spellings, types, ranges, defaults and meaning.

Validation of jobs, search spaces, command-line help and `docs/hyperparameters.md` are derived from it; nothing else
states a default. Parsing of single values stands in `core/values.py`. Source: specification, section B; where the
service's documentation and runtime disagree the documented value is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.hyperparameters.additions import ADDITIONS
from automl_images.core.hyperparameters.classification import CLASSIFICATION_ROWS
from automl_images.core.hyperparameters.general import GENERAL
from automl_images.core.hyperparameters.models import hub_spelling
from automl_images.core.hyperparameters.objects import OBJECT_ROWS
from automl_images.core.hyperparameters.row import Hyperparameter

__all__ = ["TABLE", "Hyperparameter", "canonical", "find", "resolve"]

TABLE: tuple[Hyperparameter, ...] = (*GENERAL, *CLASSIFICATION_ROWS, *OBJECT_ROWS, *ADDITIONS)

_BY_SPELLING: dict[str, Hyperparameter] = {s: row for row in TABLE for s in (row.name, *row.aliases)}


def find(name: str) -> Hyperparameter:
    """Return the row for a name in any spelling.

    Raises:
        SettingsError: there is no such hyper-parameter; the message names the nearest.
    """
    if name not in _BY_SPELLING:
        raise SettingsError(
            f"Unknown hyper-parameter {name!r}.{nearest(name, _BY_SPELLING)} See docs/hyperparameters.md."
        )
    return _BY_SPELLING[name]


def canonical(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with canonical names and parsed values; `model_name` gets the spelling of the hub.

    The text `null`, which is what `kedro run --params` makes of it, is None.

    Raises:
        SettingsError: unknown name, the same row under two spellings, wrong type or out of range.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        key = name if name == "model_name" else find(name).name
        if key in values:
            raise SettingsError(f"{key} is given twice, under two spellings; keep one.")
        if value in (None, "null"):
            values[key] = None
        elif key == "model_name":
            values[key] = hub_spelling(value) if isinstance(value, str) else value
        else:
            values[key] = find(key).parse(value)
    return values


def resolve(task: str, model_name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every hyper-parameter of a model: what the user gave, else the default.

    Args:
        task: pipeline name, for example `object_detection`.
        model_name: name in the catalogue.
        given: the user's values in any spelling; None counts as not given; `model_name` is skipped.

    Raises:
        SettingsError: unknown, out of range, or not applicable to this model.
    """
    chosen = {name: value for name, value in canonical(given).items() if name != "model_name" and value is not None}
    for name in chosen:
        row = find(name)
        if not row.fits(task, model_name):
            raise SettingsError(
                f"{name} does not apply to {model_name} for {task}: it is for {row.applies_to.words}. Remove it."
            )
    rows = [row for row in TABLE if row.fits(task, model_name)]
    values = {row.name: chosen.get(row.name, row.default_for(task, model_name)) for row in rows}
    if (values["checkpoint_dataset_id"] is None) != (values["checkpoint_filename"] is None):
        raise SettingsError("checkpoint_dataset_id and checkpoint_filename belong together: give both or neither.")
    if values.get("min_size", 0) > values.get("max_size", 0):
        raise SettingsError(
            f"min_size {values['min_size']} is above max_size {values['max_size']} of {model_name}; set both."
        )
    return values
