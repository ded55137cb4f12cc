"""Which networks there are: name, tasks, how to build each, what it is licensed under and what it may start from.

A new model is one entry in a file of `entries/` and one builder. Importing this module imports neither timm nor a
network's own file.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl_images.core.errors import SettingsError, unknown_name
from automl_images.models.base import Network
from automl_images.models.entries import MODELS, ModelEntry
from automl_images.models.entries.hub_names import hub_entry
from automl_images.models.hub.config import is_hub_name, require_transformers
from automl_images.models.weights import WeightsInfo, load_weights

__all__ = ["MODELS", "Built", "ModelEntry", "build_model", "find", "names"]


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A network ready to train and what it starts from."""

    model: Network
    weights: WeightsInfo


def names(task: str) -> list[str]:
    """Return the names of the models that can be trained for a task, in alphabetical order."""
    return [name for name in MODELS if task in MODELS.get(name).tasks]


def find(task: str, model_name: str) -> ModelEntry:
    """Return the entry of a model: of the catalogue, of the hub (`org/name`) or of a folder (a path with a slash).

    Raises:
        SettingsError: no such model for this task, with the nearest name; or it cannot be had, with what to do.
    """
    if model_name in names(task):
        entry = MODELS.get(model_name)
        if entry.family == "transformers":
            require_transformers()
        return entry
    if is_hub_name(model_name) and model_name not in MODELS:
        return hub_entry(task, model_name)
    raise SettingsError(unknown_name(f"model_name for {task}", model_name, names(task)))


def build_model(
    task: str,
    model_name: str,
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    weights: str | Path | None = "auto",
) -> Built:
    """Build a network, give it weights and stop the layers that are not to be trained.

    Args:
        task: pipeline name, for example `object_detection`.
        model_name: name in the catalogue.
        classes: sorted class names.
        hyperparameters: resolved by `core.hyperparameters.resolve`; `layers_to_freeze` counts layer groups.
        weights: `auto`, the path of a file, or None for random weights (see `weights.py`).

    Raises:
        SettingsError: unknown model.
        ModelError: the weights' file does not fit.
    """
    entry = find(task, model_name)
    module, function = entry.builder.split(":")
    build = getattr(importlib.import_module(module), function)
    model: Network = build(classes, hyperparameters, **entry.options)
    info = load_weights(model, entry.sources, entry.heads, weights)
    groups = hyperparameters.get("layers_to_freeze")
    if groups is not None and groups > (count := len(model.layer_groups())):
        raise SettingsError(f"layers_to_freeze must be at most {count} for {model_name}, got {groups}.")
    if groups is None:
        groups = entry.frozen_groups if info.pretrained else 0
    model.freeze(groups, norms=entry.frozen_norms and info.pretrained)
    return Built(model, info)
