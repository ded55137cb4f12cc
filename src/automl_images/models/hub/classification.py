"""Image classifiers of transformers behind the face of `Classifier`.

Owns building and sizes. The networks are transformers' own; their tensors keep its names behind the prefix `network.`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automl_images.core.errors import ModelError
from automl_images.core.types import Preprocessing
from automl_images.models.base import Classifier, ExportSpec
from automl_images.models.entries.entry import alternative
from automl_images.models.hub.config import build_network, input_side, square
from automl_images.models.hub.parts import PREFIX, converted, layer_groups

_AUTO_CLASS = "AutoModelForImageClassification"


class HubClassifier(Classifier):
    """A network of transformers; see `Classifier` for inputs and outputs."""

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        reversed_colours: bool,
        heads: Sequence[str],
    ) -> None:
        """Take over a network.

        Args:
            network: with one output a class.
            classes: sorted class names.
            preprocessing: of the images it is given.
            reversed_colours: whether the network wants BGR (MobileViT); its input here is RGB all the same.
            heads: names in this network of the tensors that depend on the classes.
        """
        super().__init__()
        self.network = network
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.training_size = preprocessing.max_size
        self.reversed_colours = reversed_colours
        self.heads = tuple(heads)

    def forward(self, images: Tensor) -> Tensor:
        """See `Classifier.forward`."""
        return self.network(pixel_values=images.flip(1) if self.reversed_colours else images).logits

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the embeddings and each layer or stage."""
        return layer_groups(self.network)

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename tensors of files that another version of transformers wrote."""
        return converted(self.network, state)

    def export_spec(self) -> ExportSpec:
        """Return a graph that gives logits for any number of images."""
        return ExportSpec(
            module=self,
            inputs=("input1",),
            outputs=("output1",),
            dynamic=("batch",),
            decoder="softmax",
            labels=self.classes,
        )


def build_classifier(
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
) -> HubClassifier:
    """Build a classifier with random weights; a direct resize to the model's own square (specification C.2).

    Args:
        classes: sorted class names.
        hyperparameters: of `core/hyperparameters`, resolved.
        config: content of config.json.
        preprocessor: content of preprocessor_config.json; empty where there is none.

    Raises:
        ModelError: transformers does not accept the config, or the network does not take square images.
    """
    side = input_side(config, preprocessor)
    network = build_network(_AUTO_CLASS, config, classes)
    with torch.device("meta"):
        other = build_network(_AUTO_CLASS, config, [*classes, "one more"])
        _require_square_images(other, side, len(classes) + 1)
    reversed_colours = bool(preprocessor.get("do_flip_channel_order", False))
    square_images = square("stretch", side, preprocessor)
    return HubClassifier(network, classes, square_images, reversed_colours, _of_other_shapes(network, other))


def _require_square_images(network: Any, side: int, count: int) -> None:
    """Raise a ModelError unless a network on the meta device gives `count` logits for each plain square image.

    What the network makes without naming a device lies on the CPU: BEiT keeps its indices for all networks of the
    process, and those of the meta device would give another network whatever stands in memory.
    """
    shape: object = None
    images = torch.zeros(2, 3, side, side, device="meta")
    try:
        with torch.no_grad(), torch.device("cpu"):
            shape = tuple(network.eval()(pixel_values=images).logits.shape)
        reason = f"it gives logits of the shape {shape}, not {(2, count)}"
    except NotImplementedError:  # an operation that the meta device does not know says nothing of the network
        return
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
    if shape != (2, count):
        raise ModelError(
            f"A classifier must take square RGB images as pixel_values and give one logit a class. The network of the "
            f"type {network.config.model_type!r} does not for images of {side} x {side} pixels: {reason}. "
            f"Take a model of another type, such as vit, swinv2 or convnext, or {alternative('image_classification')}."
        )


def _of_other_shapes(network: nn.Module, other: nn.Module) -> list[str]:
    """Return the names, behind the prefix, of a network's tensors that have other shapes in another one."""
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    return [f"{PREFIX}{name}" for name, value in network.state_dict().items() if shapes[name] != value.shape]
