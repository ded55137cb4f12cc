"""The face that every network shows, so that no other room needs to know which one it is.

Owns the contract; the networks stand in their own files. Class labels are 0-based without background at this border:
a network with a background class shifts inside.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl_images.core.types import Preprocessing

Target = dict[str, Tensor]
"""`boxes` `(N, 4)` float32 xyxy in pixels of the network's input, `labels` `(N,)` int64; for networks with masks also
`masks` `(N, H, W)` bool of the input's size without padding."""

Prediction = dict[str, Tensor]
"""`boxes` `(N, 4)`, `labels` `(N,)`, `scores` `(N,)`, by falling score, in pixels of the network's input; from networks
with masks also `masks` `(N, M, M)`: the probability that a point belongs to the object, on a grid over its box, which
then may reach into the padding."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExportSpec:
    """How a network becomes an ONNX graph and how the graph's outputs are read.

    Attributes:
        module: takes `(B, 3, H, W)` float32, gives the tensors named in `outputs`, in that order.
        inputs, outputs: names in the graph.
        dynamic: names of the input's dynamic axes among `batch`, `height`, `width`.
        decoder: name in `inference/decoders.py` of what turns the outputs into detections.
        labels: entries of labels.json in the index order of the graph's outputs (with `--bg--` where it has one).
        dynamo: whether the exporter is torch.export (True) or tracing (False).
        score_threshold: score below which the graph itself returns nothing; 0: it returns all.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: tuple[str, ...]
    decoder: str
    labels: tuple[str, ...]
    dynamo: bool = True
    score_threshold: float = 0.0


class Network(nn.Module, abc.ABC):
    """What all networks share: names, preprocessing, freezing and export.

    Attributes:
        classes: sorted class names; the index is the label.
        preprocessing: what turns an image into the input; validation, ONNX serving and explanation use the same.
        heads: prefixes of tensors that depend on the classes, beside those of the catalogue's entry.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    heads: tuple[str, ...] = ()
    _resting: tuple[nn.Module, ...] = ()

    @abc.abstractmethod
    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the groups that `layers_to_freeze` counts, from the input on (specification B.6)."""

    def depth_of_parameters(self) -> dict[str, int]:
        """Return the number of each parameter's layer group; what is in none lies behind the last one."""
        groups = self.layer_groups()
        depth = {id(p): n for n, group in enumerate(groups) for module in group for p in module.parameters()}
        return {name: depth.get(id(p), len(groups)) for name, p in self.named_parameters()}

    @abc.abstractmethod
    def export_spec(self) -> ExportSpec:
        """Return what the exporter needs; the spec's module shares this network's weights."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of the same network in another setting made to fit (such as position embeddings resized)."""
        return state

    def freeze(self, groups: int, norms: bool = False) -> None:
        """Stop training the first `groups` layer groups and train everything else.

        Batch norm layers that are stopped also keep their running statistics, in train mode too.

        Args:
            groups: 0 trains all; a number above the count freezes all groups.
            norms: also stop the batch norm layers of all other layer groups, as is usual for pretrained backbones
                with small batches; never with random weights, whose training then diverges.
        """
        self.requires_grad_(True)
        layers = self.layer_groups()
        for module in itertools.chain.from_iterable(layers[:groups]):
            module.requires_grad_(False)
        stopped = itertools.chain.from_iterable(layers if norms else layers[:groups])
        self._resting = tuple(m for part in stopped for m in part.modules() if isinstance(m, _BatchNorm))
        for norm in self._resting:
            norm.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode; stopped batch norm layers stay in eval mode."""
        super().train(mode)
        for norm in self._resting:
            norm.eval()
        return self


class Classifier(Network):
    """A network that gives an image one number a class.

    Attributes:
        training_size: side of augmented training images, pixels.
    """

    training_size: int

    @abc.abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, classes)` of `(B, 3, H, W)` float32, preprocessed."""


class Detector(Network):
    """A network that finds objects, with masks where it was built for them."""

    @abc.abstractmethod
    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, sizes: Tensor | None = None
    ) -> dict[str, Tensor] | list[Prediction]:
        """Give losses when `targets` is given (in train and eval mode alike), detections otherwise.

        Args:
            images: `(B, 3, H, W)` float32, preprocessed; smaller images padded at the right and bottom.
            targets: one per image.
            sizes: `(B, 2)` int64 height and width of each image without padding; None: no padding.

        Returns:
            A dictionary of scalar losses whose sum is minimised, or one `Prediction` per image.
        """

    @abc.abstractmethod
    def set_score_threshold(self, threshold: float) -> None:
        """Set the score below which eval-mode detections are dropped (evaluation uses a low one)."""
