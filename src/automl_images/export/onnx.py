"""From a network to one self-contained ONNX file that says everything about itself.

Owns the exporter's settings, the optional normalisation inside the graph, and what is written around the graph.
Whether the file gives the network's results is `export/parity.py`'s; which score threshold the graph applies is the
caller's (`Detector.set_score_threshold` before `export_spec`, and the same number as `graph_score_threshold`).
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from automl_images.core.errors import ModelError
from automl_images.core.files import replacing, sha256
from automl_images.inference.backend import refuse_foreign_parts
from automl_images.inference.metadata import ModelMetadata
from automl_images.models.base import ExportSpec

OPSET = 20
AXES = {"batch": 0, "height": 2, "width": 3}
LARGEST_FILE = 2**31 - 1
TRACED_SIZES = {"batch": 2, "height": 288, "width": 416}
"""Lengths of dynamic axes while exporting. The exporter takes an axis of length one for a constant, also inside the
network, so that the coarsest level (stride 128) must be longer than one."""


class Normalized(nn.Module):
    """A network whose input is RGB in 0..255: division by 255, mean and std stand before it."""

    scale: Tensor
    shift: Tensor

    def __init__(self, module: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)))
        self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Any:
        """Normalise `(B, 3, H, W)` values of 0..255 and run the network."""
        return self.module(images * self.scale + self.shift)


def exportable(spec: ExportSpec, metadata: ModelMetadata) -> nn.Module:
    """Return a copy of the spec's module on the CPU, in eval mode, with the normalisation that the metadata asks for.

    It is what `export_onnx` exports and what the parity gate holds against the file.
    """
    module = copy.deepcopy(spec.module).cpu().eval().requires_grad_(False)
    for part in module.modules():
        if getattr(part, "inplace", False):
            setattr(part, "inplace", False)  # noqa: B010  activations in place cost the exporter a third more time
    if metadata.onnx_normalization:
        module = Normalized(module, metadata.preprocessing.mean, metadata.preprocessing.std).eval()
    return module


def export_onnx(spec: ExportSpec, path: Path, metadata: ModelMetadata, example: Tensor) -> dict[str, Any]:
    """Write a network as one ONNX file with its metadata.

    Args:
        spec: what `Detector.export_spec` gave.
        path: the file to write; an existing one is replaced only by a complete and checked one.
        metadata: goes into `metadata_props`.
        example: `(B, 3, H, W)`; gives the lengths of the axes that are not dynamic.

    Returns:
        `opset`, `exporter` (`torch.export` or `trace`), `dynamic` axes, `seconds`, `bytes`, `sha256`.

    Raises:
        ModelError: a weight is NaN or infinite, the exporter fails, an axis did not become dynamic, or the file would
            exceed 2 GB.
    """
    started = time.perf_counter()
    module = exportable(spec, metadata)
    _refuse_non_finite({name: value.numpy() for name, value in module.state_dict().items()})
    shape = list(example.shape)
    for name in spec.dynamic:
        shape[AXES[name]] = TRACED_SIZES[name]
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(shape, generator=generator)
    with replacing(path) as temporary:
        _run_exporter(module, spec, batch, temporary)
        model = onnx.load(temporary, load_external_data=False)
        _finish(model, spec, metadata)
        if model.ByteSize() > LARGEST_FILE:
            raise ModelError(f"The ONNX model has {model.ByteSize()} bytes; one file holds 2 GB. Take a smaller model.")
        onnx.save_model(model, temporary)
    return {
        "opset": model.opset_import[0].version,
        "exporter": "torch.export" if spec.dynamo else "trace",
        "dynamic": list(spec.dynamic),
        "seconds": round(time.perf_counter() - started, 2),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }


def _run_exporter(module: nn.Module, spec: ExportSpec, example: Tensor, path: Path) -> None:
    axes = {AXES[name]: name for name in spec.dynamic}
    if spec.dynamo:
        dynamic: dict[str, Any] = {"dynamic_shapes": (dict.fromkeys(axes, torch.export.Dim.DYNAMIC),)}
    else:
        outputs = {name: {0: "batch"} for name in spec.outputs if "batch" in spec.dynamic}
        dynamic = {"dynamic_axes": {spec.inputs[0]: axes, **outputs}}
    try:
        with _silence(), torch.no_grad():
            torch.onnx.export(
                module,
                (example,),
                str(path),
                input_names=list(spec.inputs),
                output_names=list(spec.outputs),
                opset_version=OPSET,
                dynamo=spec.dynamo,
                external_data=False,
                verbose=False,
                **dynamic,
            )
    except RuntimeError as error:  # the base of all errors of the exporter
        raise ModelError(f"The network cannot be exported to ONNX: {error}") from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's progress lines and warnings off the terminal; errors are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _finish(model: onnx.ModelProto, spec: ExportSpec, metadata: ModelMetadata) -> None:
    """Check the graph, drop the exporter's notes (they name files of this machine), and write ours."""
    _refuse_non_finite({tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer})
    refuse_foreign_parts(model)
    _drop_notes(model)
    _name_axes(model, spec)
    onnx.checker.check_model(model, full_check=False)
    del model.metadata_props[:]
    for name, value in metadata.to_properties().items():
        model.metadata_props.add(key=name, value=value)


def _drop_notes(model: onnx.ModelProto) -> None:
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        del graph.value_info[:]
        for part in (graph, *graph.input, *graph.output, *graph.initializer, *graph.node):
            part.doc_string = ""
            del part.metadata_props[:]
        for node in graph.node:
            for attribute in node.attribute:
                graphs.extend([g for g in (attribute.g, *attribute.graphs) if g.node])


def _name_axes(model: onnx.ModelProto, spec: ExportSpec) -> None:
    """Call the dynamic axes of input and outputs by their names; the exporter calls them s0, s53 …."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    fixed = [name for name in spec.dynamic if not shape[AXES[name]].dim_param]
    if fixed:
        raise ModelError(
            f"The axes {', '.join(fixed)} should be dynamic in the ONNX graph but became constants: the network's code "
            "makes a Python number of their size."
        )
    names = {shape[AXES[name]].dim_param: name for name in spec.dynamic}
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in names:
                dimension.dim_param = names[dimension.dim_param]


def _refuse_non_finite(tensors: dict[str, Any]) -> None:
    for name, values in tensors.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise ModelError(
                f"The weight {name!r} holds NaN or infinity: the training diverged. "
                "Train again with a lower learning rate; nothing was exported."
            )
