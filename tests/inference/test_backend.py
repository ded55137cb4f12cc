import hashlib
import json

import numpy as np
import onnx
import onnx.parser
import pytest

from automl_images.core.errors import ModelError
from automl_images.inference.backend import OnnxBackend
from automl_images.inference.load import load_predictor

GRAPH = """
<ir_version: 9, opset_import: ["" : 20{domains}]>
boxes (float[batch, 3, height, width] input) => (float[batch, n, 8] output)
{{
    {body}
}}
"""
BODY = """
    axes = Constant <value_ints = [1, 2, 3]> ()
    mean = ReduceMean <keepdims = 0> (input, axes)
    axes12 = Constant <value_ints = [1, 2]> ()
    column = Unsqueeze (mean, axes12)
    factor = Constant <value_floats = [8.0, 8.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]> ()
    offset = Constant <value_floats = [0.0, 0.0, 0.0, 0.0, 0.9, 0.1, 0.2, 1.0]> ()
    scaled = Mul (column, factor)
    output = Add (scaled, offset)
"""


def _model(metadata, body=BODY, domains=""):
    model = onnx.parser.parse_model(GRAPH.format(body=body, domains=domains))
    for name, value in metadata.to_properties().items():
        model.metadata_props.add(key=name, value=value)
    return model


@pytest.fixture
def mean_metadata(metadata):
    return metadata.model_copy(update={"decoder": "yolov5", "labels": metadata.classes})


def test_runs_a_file_and_its_bytes(mean_metadata, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(_model(mean_metadata), path)
    batch = np.stack([np.full((3, 32, 64), value, np.float32) for value in (1, 2)])
    for source in (path, str(path), path.read_bytes()):
        backend = OnnxBackend(source, threads=1)
        assert backend.metadata == mean_metadata
        assert backend.dynamic_batch
        (output,) = backend.run(batch)
        np.testing.assert_allclose(output[:, 0, :4], [[8, 8, 4, 4], [16, 16, 8, 8]])


def test_predicts_from_a_verified_folder(mean_metadata, tmp_path):
    content = _model(mean_metadata).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (tmp_path / "manifest.json").write_text(json.dumps({"format_version": 1, "files": {"model.onnx": entry}}))
    (found,) = load_predictor(tmp_path, threads=1).predict([np.full((64, 64, 3), 255, np.uint8)])
    assert found.labels.tolist() == [2]
    np.testing.assert_allclose(found.boxes, [[6, 6, 10, 10]], atol=1e-4)
    (tmp_path / "model.onnx").write_bytes(content[:-1] + b"!")
    with pytest.raises(ModelError, match=r"model\.onnx was changed after the export"):
        load_predictor(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x09" * 50])
def test_corrupt_bytes_are_refused(content):
    with pytest.raises(ModelError, match="corrupt"):
        OnnxBackend(content)


def test_a_file_cut_short_is_refused(mean_metadata):
    content = _model(mean_metadata).SerializeToString()
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(ModelError):
            OnnxBackend(content[: int(len(content) * share)])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        OnnxBackend(tmp_path / "nowhere.onnx")


def test_external_data_is_refused(mean_metadata, tmp_path):
    model = _model(mean_metadata)
    weight = model.graph.initializer.add(name="weight", data_type=onnx.TensorProto.FLOAT, dims=[4])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../secret")
    with pytest.raises(ModelError, match="'weight' in another file"):
        OnnxBackend(model.SerializeToString())


def test_external_data_inside_an_attribute_is_refused(mean_metadata):
    model = _model(mean_metadata)
    tensor = onnx.TensorProto(name="hidden", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=tensor)], "then", [], [])
    node = onnx.helper.make_node("If", ["flag"], ["unused"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)
    with pytest.raises(ModelError, match="'hidden' in another file"):
        OnnxBackend(model.SerializeToString())


@pytest.mark.parametrize("domain", ["com.microsoft", "evil.corp"])
def test_operators_of_other_domains_are_refused(mean_metadata, domain):
    body = BODY.replace("output = Add", f"output = {domain}.Add")
    with pytest.raises(ModelError, match=rf"operator {domain}\.Add"):
        OnnxBackend(_model(mean_metadata, body, f', "{domain}" : 1').SerializeToString())


def test_unknown_operators_are_refused(mean_metadata):
    with pytest.raises(ModelError, match="cannot load"):
        OnnxBackend(_model(mean_metadata, BODY.replace("output = Add", "output = Conjure")).SerializeToString())


def test_a_model_of_others_is_refused(mean_metadata):
    model = _model(mean_metadata)
    del model.metadata_props[:]
    with pytest.raises(ModelError, match="no metadata of AutoML Images"):
        OnnxBackend(model.SerializeToString())


def test_a_wrong_input_is_named(mean_metadata):
    backend = OnnxBackend(_model(mean_metadata).SerializeToString(), threads=1)
    with pytest.raises(ModelError, match=r"\(1, 4, 8, 8\)"):
        backend.run(np.zeros((1, 4, 8, 8), np.float32))
