"""The exported graphs give torch's detections for any batch, height and width (the exporter's own tests do the rest)."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch

from automl_images.models.catalogue import build_model

NAMES = ["fasterrcnn_efficientnet_lite0_fpn", "fasterrcnn_resnet18_fpn", "retinanet_resnet50_fpn"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_graph_is_dynamic_and_exact(name, settings, batch, tmp_path):
    torch.manual_seed(0)
    model = build_model(
        "object_detection", name, ["a", "b", "c"], settings(name, box_score_threshold=0.0), "auto"
    ).model
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-4)
    for _ in range(12):
        optimizer.zero_grad()
        sum(model.train()(batch[0], batch[1]).values()).backward()
        optimizer.step()
    blank = torch.full((1, 3, 64, 64), -1.0)
    with torch.no_grad():
        second = model.eval()(batch[0][:1])[0]["scores"][1].item()
        most = model(blank)[0]["scores"].max().item()
    assert most < second
    model.set_score_threshold((most + second) / 2)  # the first image has detections, the blank image has none
    spec = model.export_spec()
    module = copy.deepcopy(spec.module).eval()
    axes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        torch.onnx.export(
            module,
            (torch.randn(2, 3, 288, 416),),
            tmp_path / "model.onnx",
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_shapes=(axes,),
            dynamo=spec.dynamo,
            external_data=False,
        )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    generator = torch.Generator().manual_seed(2)
    inputs = [batch[0], batch[0][:1], torch.rand(2, 3, 192, 96, generator=generator), blank]
    found = []
    for images in inputs:
        with torch.no_grad():
            expected = module(images)
        actual = session.run(list(spec.outputs), {"input": images.numpy()})
        assert np.array_equal(expected[3].numpy(), actual[3])
        found += actual[3].tolist()
        for image, count in enumerate(actual[3].tolist()):
            np.testing.assert_allclose(expected[2][image].numpy(), actual[2][image], atol=1e-4)
            boxes, labels = expected[0][image, :count].numpy(), expected[1][image, :count].numpy()
            distance = np.abs(boxes[:, None] - actual[0][image, :count][None]).max(-1)
            distance = distance + 1e3 * (labels[:, None] != actual[1][image, :count][None])
            assert count == 0 or distance.min(1).max() < 0.05
    assert max(found) >= 2
    assert min(found) == 0


def test_very_unlikely_proposals_are_in_the_same_order(settings, tmp_path):
    """Their probabilities are below what onnxruntime's sigmoid can tell apart."""
    torch.manual_seed(0)
    name = "fasterrcnn_resnet18_fpn"
    model = build_model("object_detection", name, ["a"], settings(name, box_score_threshold=0.0), None).model.eval()
    spec = model.export_spec()
    module = copy.deepcopy(spec.module).eval()
    torch.nn.init.constant_(module.rpn.head.cls_logits.bias, -19.0)
    torch.nn.init.normal_(module.rpn.head.cls_logits.weight, std=0.1)
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = module(images)
        torch.onnx.export(
            module,
            (images,),
            tmp_path / "model.onnx",
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamo=spec.dynamo,
            external_data=False,
        )
    actual = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(list(spec.outputs), {"input": images.numpy()})
    count = int(actual[3][0])
    assert count == int(expected[3][0]) > 20
    np.testing.assert_allclose(expected[2][0, :count].numpy(), actual[2][0, :count], atol=1e-5)
