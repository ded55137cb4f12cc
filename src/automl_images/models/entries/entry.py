"""What an entry of the catalogue says of a network, and the registry that entries go into.

Each file of this package beside this one and `sources.py` registers one task family's networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl_images.core.registry import Registry
from automl_images.models.weights import WeightSource, is_here

if TYPE_CHECKING:  # the steps behind it take long to import
    from automl_images.augmentation.plan import Style


@dataclasses.dataclass(frozen=True, slots=True)
class ModelEntry:
    """A network of the catalogue.

    Attributes:
        name: as in job files.
        tasks: pipelines that can train it.
        family: `rcnn`, `retinanet`, `sparse_rcnn`, `vfnet`, `yolof`, `yolo`, `timm` or `transformers`.
        augmentation_style: training augmentation that suits it (specification F).
        licence: SPDX name of the network's code.
        builder: `module:function`; called with classes, hyper-parameters and `options`, gives random weights.
        options: further arguments of the builder.
        sources: pretrained weights, best first.
        heads: prefixes of tensors that depend on the classes; classifiers of transformers name theirs themselves.
        frozen_groups: layer groups that are not trained by default, with pretrained weights.
        frozen_norms: whether the backbone's batch norm rests, with pretrained weights.
        million_parameters: rounded size, for people.
        note: what really runs under this name and what differs from what the name promises; empty: nothing does.
    """

    name: str
    tasks: tuple[str, ...]
    family: str
    augmentation_style: Style
    licence: str
    builder: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: tuple[WeightSource, ...] = ()
    heads: tuple[str, ...] = ()
    frozen_groups: int = 0
    frozen_norms: bool = False
    million_parameters: float | None = None
    note: str = ""


MODELS: Registry[ModelEntry] = Registry("model_name")


def pretrained_here(task: str) -> list[str]:
    """Return the models of the catalogue for a task of which some pretrained weights are on this machine."""
    entries = [MODELS.get(name) for name in MODELS]
    return [entry.name for entry in entries if task in entry.tasks and any(map(is_here, entry.sources))]


def alternative(task: str) -> str:
    """Return what to take where a model or its weights cannot be had, to stand after a verb such as `take`."""
    return " or ".join(pretrained_here(task)[:3]) or "a model of `kedro model catalogue`"


def register(entry: ModelEntry) -> None:
    """Put a network into the catalogue."""
    MODELS.register(entry.name)(entry)
