import copy
import dataclasses
import hashlib
import logging
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from automl_images.core.errors import ModelError
from automl_images.export.onnx import export_onnx, exportable
from automl_images.inference.backend import OnnxBackend


def test_one_file_that_says_everything(padded, padded_file):
    path, report = padded_file
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]
    assert OnnxBackend(path, threads=1).metadata == padded.metadata
    assert report["bytes"] == path.stat().st_size
    assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["seconds"] > 0
    assert (report["exporter"], report["opset"]) == ("torch.export", 20)


def test_axes_and_outputs_have_their_names(padded_file, yolo_file):
    session = onnxruntime.InferenceSession(str(padded_file[0]))
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert [output.name for output in session.get_outputs()] == ["boxes", "labels", "scores", "num_detections"]
    assert session.get_outputs()[0].shape == ["batch", 3, 4]
    assert onnxruntime.InferenceSession(str(yolo_file[0])).get_inputs()[0].shape == ["batch", 3, 128, 128]


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 3, 32, 160), (5, 3, 96, 33)])
def test_graph_equals_module_at_other_shapes(padded, padded_file, shape):
    batch = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    expected = exportable(padded.spec, padded.metadata)(batch)
    given = OnnxBackend(padded_file[0], threads=1).run(batch.numpy())
    for left, right in zip(expected, given, strict=True):
        np.testing.assert_allclose(left.numpy(), right, atol=1e-5)


def test_nothing_of_this_machine_is_in_the_file(padded_file):
    content = padded_file[0].read_bytes()
    assert b"stack_trace" not in content
    assert b"site-packages" not in content
    assert b".py" not in content
    assert sys.prefix.encode() not in content


def test_exporting_again_gives_the_same_bytes(yolo, yolo_file, tmp_path):
    report = export_onnx(yolo.spec, tmp_path / "again.onnx", yolo.metadata, yolo.example)
    assert report["sha256"] == yolo_file[1]["sha256"]


def test_normalisation_moves_into_the_graph(yolo, yolo_file, tmp_path):
    inside = yolo.metadata.model_copy(update={"onnx_normalization": True})
    export_onnx(yolo.spec, tmp_path / "model.onnx", inside, yolo.example)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 128)).astype(np.float32)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (yolo.metadata.preprocessing.mean, yolo.metadata.preprocessing.std))
    (expected,) = OnnxBackend(yolo_file[0], threads=1).run(((pixels / 255 - mean) / std).astype(np.float32))
    (given,) = OnnxBackend(tmp_path / "model.onnx", threads=1).run(pixels)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_the_tracing_exporter_serves_too(yolo, yolo_file, tmp_path):
    traced = dataclasses.replace(yolo.spec, dynamo=False)
    report = export_onnx(traced, tmp_path / "model.onnx", yolo.metadata, yolo.example)
    assert report["exporter"] == "trace"
    batch = np.random.default_rng(0).normal(size=(3, 3, 128, 128)).astype(np.float32)
    (expected,), (given,) = (OnnxBackend(p, threads=1).run(batch) for p in (yolo_file[0], tmp_path / "model.onnx"))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_the_network_stays_as_it_was(yolo, tmp_path):
    network = copy.deepcopy(yolo.spec.module).train()
    before = copy.deepcopy(network.state_dict())
    export_onnx(dataclasses.replace(yolo.spec, module=network), tmp_path / "model.onnx", yolo.metadata, yolo.example)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(yolo, tmp_path, value):
    network = copy.deepcopy(yolo.spec.module)
    with torch.no_grad():
        network.head[0].weight[1, 1, 1, 1] = value
    with pytest.raises(ModelError, match=r"'head\.0\.weight' holds NaN or infinity"):
        export_onnx(dataclasses.replace(yolo.spec, module=network), tmp_path / "m.onnx", yolo.metadata, yolo.example)
    assert list(tmp_path.iterdir()) == []


class Choosing(nn.Module):
    """Decides by values: no single graph does that."""

    def forward(self, images):
        return images.sum(dim=(1, 2, 3)) if images.sum() > 0 else images.mean(dim=(1, 2, 3))


def test_a_network_that_cannot_be_exported_is_refused(padded, tmp_path):
    spec = dataclasses.replace(padded.spec, module=Choosing(), outputs=("sum",))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the earlier model")
    with pytest.raises(ModelError, match="cannot be exported to ONNX"):
        export_onnx(spec, path, padded.metadata, padded.example)
    assert path.read_bytes() == b"the earlier model"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_the_exporter_is_quiet(yolo, tmp_path, capfd, caplog):
    export_onnx(yolo.spec, tmp_path / "model.onnx", yolo.metadata, yolo.example)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_the_graph_passes_the_checker(padded_file):
    onnx.checker.check_model(onnx.load(padded_file[0]), full_check=True)
