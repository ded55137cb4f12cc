"""Image classifiers of transformers behind the face of `Classifier`.

Owns building and sizes. The networks are transformers' own; their tensors keep its names behind the prefix `network.`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from automl_images.core.types import Preprocessing
from automl_images.models.base import Classifier, ExportSpec
from automl_images.models.hub.config import build_network, input_side, square
from automl_images.models.hub.parts import converted, layer_groups


class HubClassifier(Classifier):
    """A network of transformers; see `Classifier` for inputs and outputs."""

    def __init__(
        self, network: nn.Module, classes: Sequence[str], preprocessing: Preprocessing, reversed_colours: bool
    ) -> None:
        """Take over a network.

        Args:
            network: with one output a class.
            classes: sorted class names.
            preprocessing: of the images it is given.
            reversed_colours: whether the network wants BGR (MobileViT); its input here is RGB all the same.
        """
        super().__init__()
        self.network = network
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.training_size = preprocessing.max_size
        self.reversed_colours = reversed_colours

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
        ModelError: transformers does not accept the config.
    """
    side = input_side(config, preprocessor)
    network = build_network("AutoModelForImageClassification", config, classes)
    reversed_colours = bool(preprocessor.get("do_flip_channel_order", False))
    return HubClassifier(network, classes, square("stretch", side, preprocessor), reversed_colours)
