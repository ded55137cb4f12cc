"""Running a graph: ONNX bytes checked and handed to onnxruntime.

A backend turns a batch of inputs into arrays of outputs and knows nothing else; `export/` has one for torch. An ONNX
file is untrusted: it must be one file, hold standard operators only, and never reaches onnxruntime by path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from automl_images.core.errors import ModelError
from automl_images.core.types import FloatArray
from automl_images.inference.metadata import metadata_from_properties

STANDARD_DOMAINS = {"", "ai.onnx"}
_RUNTIME_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


class Backend(Protocol):
    """Runs a network on a preprocessed batch.

    Attributes:
        dynamic_batch: whether a batch may hold more than one image.
    """

    dynamic_batch: bool

    def run(self, batch: FloatArray) -> list[NDArray[Any]]:
        """Return the outputs for `batch` `(B, 3, H, W)` float32, in the graph's order."""


class OnnxBackend:
    """onnxruntime on the GPU where its CUDA provider is installed, else on the CPU.

    Attributes:
        metadata: what the file says about itself.
        providers: execution providers in use, preferred first.
    """

    def __init__(self, model: Path | str | bytes, threads: int | None = None) -> None:
        """Load a model.

        Args:
            model: an ONNX file or its bytes.
            threads: CPU threads of an operator; None: all cores.

        Raises:
            ModelError: the file is missing, corrupt, refers to other files, holds operators that are not of the ONNX
                standard, or was not exported by this project.
        """
        content = model if isinstance(model, bytes) else _read(Path(model))
        self.metadata = metadata_from_properties(_checked_properties(content))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except _RUNTIME_ERRORS as error:
            raise ModelError(f"onnxruntime cannot load the ONNX model: {error}. Export it again.") from error
        self.providers = self._session.get_providers()
        (graph_input,) = self._session.get_inputs()
        self._name = graph_input.name
        self.dynamic_batch = not isinstance(graph_input.shape[0], int)

    def run(self, batch: FloatArray) -> list[NDArray[Any]]:
        """Return the outputs for `batch` `(B, 3, H, W)` float32, in the graph's order.

        Raises:
            ModelError: onnxruntime fails; the message names the batch's shape.
        """
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self._name: batch})
        except _RUNTIME_ERRORS as error:
            raise ModelError(f"The ONNX model fails on an input of shape {batch.shape}: {error}") from error
        return outputs


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"Expected an ONNX model at {path}, but it cannot be read: {error.strerror}.") from error


def _checked_properties(content: bytes) -> dict[str, str]:
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelError("The ONNX file is corrupt or cut short: it is no protobuf of a model.") from error
    if not model.graph.node or len(model.graph.input) != 1:
        raise ModelError(
            f"Expected an ONNX graph with one input, got {len(model.graph.node)} nodes "
            f"and {len(model.graph.input)} inputs. The file is corrupt or of another kind."
        )
    refuse_foreign_parts(model)
    return {entry.key: entry.value for entry in model.metadata_props}


def refuse_foreign_parts(model: onnx.ModelProto) -> None:
    """Check that a model is self-contained and made of standard operators.

    Raises:
        ModelError: it refers to external data or uses operators of another domain; the message names one.
    """
    local = {(function.domain, function.name) for function in model.functions}
    bodies: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while bodies:
        body = bodies.pop()
        _refuse_external(getattr(body, "initializer", ()))
        _refuse_external(part for s in getattr(body, "sparse_initializer", ()) for part in (s.values, s.indices))
        for node in body.node:
            if node.domain not in STANDARD_DOMAINS and (node.domain, node.op_type) not in local:
                raise ModelError(
                    f"The ONNX model uses the operator {node.domain}.{node.op_type}, which is not of the ONNX standard."
                )
            for attribute in node.attribute:
                _refuse_external([attribute.t, *attribute.tensors, attribute.sparse_tensor.values])
                bodies.extend([attribute.g, *attribute.graphs])


def _refuse_external(tensors: Iterable[onnx.TensorProto]) -> None:
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelError(
                f"The ONNX model keeps the tensor {tensor.name!r} in another file; expected one self-contained file. "
                "Save it again without external data."
            )
