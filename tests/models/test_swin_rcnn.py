"""Mask R-CNN on a Swin transformer: its pyramid, its groups, and a graph of one size."""

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision.models import swin_t

from automl_images.core.hyperparameters import resolve
from automl_images.export.onnx import export_onnx
from automl_images.inference.metadata import DetectorMetadata
from automl_images.models.catalogue import MODELS, build_model
from automl_images.models.swin_rcnn import SwinPyramid

NAME, TASK = "mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco", "instance_segmentation"


def built(weights=None, **given):
    torch.manual_seed(0)
    values = resolve(TASK, NAME, {"image_size": 128, "box_score_threshold": 0.05, **given})
    return build_model(TASK, NAME, ["a", "b"], values, weights).model


def test_it_has_the_size_and_the_groups_that_the_catalogue_states():
    with torch.device("meta"):
        model = built(image_size=130)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == MODELS.get(NAME).million_parameters
    assert len(model.layer_groups()) == 5
    assert (model.preprocessing.resize, model.preprocessing.max_size) == ("letterbox", 160)
    in_groups = [p for group in model.layer_groups() for module in group for p in module.parameters()]
    assert len(in_groups) == len(list(model.backbone.body.parameters()))


def test_pyramid_has_five_levels_of_equal_channels():
    levels = SwinPyramid()(torch.rand(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels.values()] == [
        (256, 16, 24),
        (256, 8, 12),
        (256, 4, 6),
        (256, 2, 3),
        (256, 1, 2),
    ]


def test_weights_of_torchvision_fill_the_backbone(tmp_path):
    source = swin_t(weights=None)
    torch.save(source.state_dict(), tmp_path / "swin.pth")
    model = built(tmp_path / "swin.pth")
    own, theirs = model.backbone.body.state_dict(), source.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in own.items())


@pytest.mark.slow
def test_it_learns_and_its_graph_gives_the_same(tmp_path):
    model = built().train()
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 0.3
    boxes, labels = torch.tensor([[[30.0, 20, 90, 80]], [[10, 50, 60, 110]]]), torch.tensor([[0], [1]])
    masks = torch.zeros(2, 1, 128, 128, dtype=torch.bool)
    for image, mask, (x1, y1, x2, y2) in zip(images, masks[:, 0], boxes[:, 0].int().tolist(), strict=True):
        image[0 if x1 == 30 else 1, y1:y2, x1:x2] += 1
        mask[y1:y2, x1:x2] = True
    targets = [{"boxes": b, "labels": n, "masks": m} for b, n, m in zip(boxes, labels, masks, strict=True)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    history = []
    for _ in range(15):
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]
    spec = model.eval().export_spec()
    metadata = DetectorMetadata(
        model_name=NAME,
        task=TASK,
        classes=model.classes,
        labels=spec.labels,
        preprocessing=model.preprocessing,
        decoder=spec.decoder,
        box_score_threshold=0.05,
        nms_iou_threshold=0.5,
        box_detections_per_image=100,
    )
    export_onnx(spec, tmp_path / "model.onnx", metadata, torch.zeros(2, 3, 128, 128))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (images, images[:1]):
        with torch.no_grad():
            expected = [value.numpy() for value in spec.module.eval()(batch)]
        actual = session.run(list(spec.outputs), {"input": batch.numpy()})
        assert np.array_equal(expected[3], actual[3])
        for image, count in enumerate(actual[3]):
            assert count > 0
            for one in range(count):  # as a set: near-tied scores may swap places
                same = np.abs(expected[0][image, :count] - actual[0][image, one]).max(1) < 0.05
                same &= np.abs(expected[2][image, :count] - actual[2][image, one]) < 1e-4
                same &= expected[1][image, :count] == actual[1][image, one]
                assert same.any()
                assert np.abs(expected[4][image, :count][same] - actual[4][image, one]).max((1, 2)).min() < 1e-3
