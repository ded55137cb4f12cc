"""Running a network in torch where `Predictor` otherwise runs onnxruntime: the reference side of the parity gate."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from automl_images.core.types import FloatArray
from automl_images.export.onnx import exportable
from automl_images.inference.metadata import ModelMetadata
from automl_images.models.base import ExportSpec


class TorchBackend:
    """A copy of a network on the CPU in float32, with the input and the outputs of its ONNX graph.

    Example:
        >>> reference = DetectionPredictor(TorchBackend(spec, metadata), metadata)  # doctest: +SKIP
    """

    dynamic_batch = True

    def __init__(self, spec: ExportSpec, metadata: ModelMetadata) -> None:
        self._module = exportable(spec, metadata).float()

    def run(self, batch: FloatArray) -> list[NDArray[Any]]:
        """Return the outputs for `batch` `(B, 3, H, W)` float32, in the order of `ExportSpec.outputs`."""
        with torch.inference_mode():
            outputs = self._module(torch.from_numpy(batch))
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [output.numpy() for output in outputs]
