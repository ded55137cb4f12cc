"""Which networks there are: name, tasks, how to build each, what it is licensed under and what it may start from.

A new model is one entry in a file of `entries/` and one builder. Importing this module imports neither timm nor a
network's own file.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from automl_images.core.errors import SettingsError, unknown_name
from automl_images.models.base import Network
from automl_images.models.entries import MODELS, ModelEntry
from automl_images.models.entries.entry import alternative
from automl_images.models.entries.hub_names import hub_entry
from automl_images.models.hub.config import is_hub_name, require_transformers
from automl_images.models.weights import WeightsInfo, check_file, load_weights, may_be_had, random_note

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
    if model_name in MODELS:
        raise SettingsError(
            f"The model {model_name!r} is for {' and '.join(MODELS.get(model_name).tasks)}, not for {task}. "
            f"For this task take one of: {', '.join(names(task))}."
        )
    raise SettingsError(
        f"{unknown_name(f'model_name for {task}', model_name, names(task))}{_about_mmd(task, model_name)}"
    )


def _about_mmd(task: str, model_name: str) -> str:
    """Say what runs instead of a model that the service takes from MMDetection, whose configs have such names."""
    if not model_name.startswith("mmd-3x-") and not re.search(
        r"_(coco|lvis.*|voc\w*|cityscapes|openimages)$", model_name
    ):
        return ""
    return (
        f" MMDetection itself is not used: of its models only those known names that begin with mmd-3x- run here. For "
        f"others take {alternative(task)}, or a model of the hub by its name org/name."
    )


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
    model = _with_random_weights(entry, classes, hyperparameters)
    info = load_weights(model, entry.sources, (*entry.heads, *model.heads), weights, advice(task))
    groups = hyperparameters.get("layers_to_freeze")
    if groups is None:
        groups = entry.frozen_groups if info.pretrained else 0
    norms = entry.frozen_norms or bool(hyperparameters.get("freeze_batch_norm"))
    model.freeze(groups, norms=norms and info.pretrained)
    return Built(model, info)


def check_model(task: str, model_name: str, hyperparameters: Mapping[str, Any]) -> str:
    """Find out whether a model can be built and begin with its weights; takes next to no memory and reads no images.

    Args:
        task: pipeline name.
        model_name: name in the catalogue, at the hub, or a folder.
        hyperparameters: resolved; the file in `weights` must fit.

    Returns:
        A warning for people where the training will begin with random weights, else nothing.

    Raises:
        SettingsError: unknown model, or a hyper-parameter that does not suit it.
        ModelError: the file in `weights` is missing, damaged or of another network, or a model of the hub does not take
            square images.
    """
    entry = find(task, model_name)
    with torch.device("meta"):
        model = _with_random_weights(entry, ("a", "b"), hyperparameters)
    if hyperparameters["weights"] is not None:
        check_file(model, Path(hyperparameters["weights"]), entry.sources, (*entry.heads, *model.heads))
        return ""
    return "" if any(map(may_be_had, entry.sources)) else f"{model_name}: {random_note(entry.sources)} {advice(task)}"


def advice(task: str) -> str:
    """Return which models of a task have pretrained weights on this machine."""
    return f"With weights that are on this machine: {alternative(task)}."


def _with_random_weights(entry: ModelEntry, classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> Network:
    module, function = entry.builder.split(":")
    build = getattr(importlib.import_module(module), function)
    model: Network = build(classes, hyperparameters, **entry.options)
    groups, count = hyperparameters.get("layers_to_freeze"), len(model.layer_groups())
    if groups is not None and groups > count:
        raise SettingsError(f"layers_to_freeze must be at most {count} for {entry.name}, got {groups}.")
    return model
