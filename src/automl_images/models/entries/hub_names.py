"""Entries of the catalogue made on the fly: for models of the hub and of folders, whose names have a slash.

Owns which types of models are offered for which task; reading of the model's files is `models/hub/config.py`'s.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from automl_images.core.errors import SettingsError
from automl_images.models.entries.classification import CLASSIFICATION
from automl_images.models.entries.detection import DETECTION
from automl_images.models.entries.entry import ModelEntry, alternative
from automl_images.models.entries.segmentation import SEGMENTATION
from automl_images.models.hub.config import HubFiles, read_files, require_transformers
from automl_images.models.weights import WeightSource

if TYPE_CHECKING:  # the steps behind it take long to import
    from automl_images.augmentation.plan import Style

LICENCE = "Apache-2.0"


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What the models of a task have in common.

    Attributes:
        tasks: which they can be trained for.
        types: `model_type` of their configs; empty: whatever transformers knows.
        builder: in `models/hub/`.
        style: of augmentation.
        heads: names in the network of tensors that depend on the classes; empty where the network itself tells them.
    """

    tasks: tuple[str, ...]
    types: tuple[str, ...]
    builder: str
    style: Style
    heads: tuple[str, ...]


CLASSIFIERS = Kind(
    CLASSIFICATION,
    (),
    "classification:build_classifier",
    "random_resized_crop",
    (),
)
DETECTORS = Kind(
    DETECTION,
    ("detr", "deformable_detr", "rt_detr", "rt_detr_v2", "d_fine"),
    "detection:build_detector",
    "crop_expand_flip",
    (
        "class_labels_classifier.",
        "class_embed.",
        "model.decoder.class_embed.",
        "model.enc_score_head.",
        "model.denoising_class_embed.",
    ),
)
SEGMENTERS = Kind(
    SEGMENTATION,
    ("mask2former", "maskformer"),
    "instances:build_segmenter",
    "crop_expand_flip",
    ("class_predictor.", "criterion."),
)
KINDS = {task: kind for kind in (CLASSIFIERS, DETECTORS, SEGMENTERS) for task in kind.tasks}


def hub_entry(task: str, model_name: str) -> ModelEntry:
    """Return an entry for `org/name` or the path of a folder.

    Raises:
        SettingsError: transformers is not installed, the model cannot be had, or it is not for this task.
    """
    require_transformers()
    kind = KINDS[task]
    files = read_files(model_name, alternative(task))
    model_type = files.config.get("model_type")
    known = kind.types or _classifiers()
    if model_type is None and "architecture" in files.config:
        raise SettingsError(f"{model_name} is a repository of timm, not of transformers. Take {alternative(task)}.")
    if model_type not in known:
        raise SettingsError(
            f"{model_name} is of the type {model_type!r}, which is not offered for {task}. "
            f"Types that are: {', '.join(sorted(known))}. Take a model of these types, or {alternative(task)}."
        )
    weights = WeightSource("hub", model_name, "network", "unknown", f"Weights of {model_name}, new head.")
    return transformers_entry(model_name, kind, files, (weights,), f"The {model_type} network of transformers.")


def transformers_entry(
    name: str,
    kind: Kind,
    files: HubFiles,
    sources: tuple[WeightSource, ...],
    note: str = "",
    million_parameters: float | None = None,
) -> ModelEntry:
    """Return an entry whose network is built from the content of a model's files."""
    return ModelEntry(
        name=name,
        tasks=kind.tasks,
        family="transformers",
        augmentation_style=kind.style,
        licence=LICENCE,
        builder=f"automl_images.models.hub.{kind.builder}",
        options={"config": files.config, "preprocessor": files.preprocessor},
        sources=sources,
        heads=tuple(f"network.{head}" for head in kind.heads),
        frozen_norms=kind is not CLASSIFIERS,
        million_parameters=million_parameters,
        note=note,
    )


def _classifiers() -> tuple[str, ...]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    return tuple(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
