"""YOLOF, Sparse R-CNN and VFNet keep the contract of `Detector`, learn a batch, and their graphs are exact."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

from automl_images.models.catalogue import MODELS, build_model
from automl_images.models.sparse_rcnn import build_sparse_rcnn
from automl_images.models.vfnet import build_vfnet
from automl_images.models.yolof import build_yolof

FAMILIES = ("yolof", "sparse_rcnn", "vfnet")
NAMES = [name for name in MODELS if MODELS.get(name).family in FAMILIES]
SMALL = {
    "yolof": (build_yolof, {}, "mmd-3x-yolof_r50_c5_8x8_1x_coco"),
    "sparse_rcnn": (
        build_sparse_rcnn,
        {"proposals": 12, "stages": 2},
        "mmd-3x-sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco",
    ),
    "vfnet": (build_vfnet, {}, "mmd-3x-vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"),
}


@pytest.fixture
def built(settings):
    """A small network of a family: ResNet-18, few proposals."""

    def build(family):
        torch.manual_seed(0)
        builder, options, name = SMALL[family]
        return builder(("a", "b", "c"), settings(name, box_score_threshold=0.001), backbone="resnet18", **options)

    return build


def test_the_curated_names_are_there():
    assert len(NAMES) == 5
    assert all(name.startswith("mmd-3x-") and MODELS.get(name).note for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_builds_with_the_size_and_heads_that_the_catalogue_states(name, settings):
    with torch.device("meta"):
        one, three = (
            build_model("object_detection", name, classes, settings(name), None).model for classes in ("a", "abc")
        )
    entry = MODELS.get(name)
    assert abs(sum(p.numel() for p in three.parameters()) / 1e6 - entry.million_parameters) < 1
    assert len(three.layer_groups()) == 5
    shapes = {n: value.shape for n, value in one.state_dict().items()}
    changed = [n for n, value in three.state_dict().items() if value.shape != shapes[n]]
    assert changed
    assert all(n.startswith(entry.heads) for n in changed)
    assert three.get_submodule(entry.sources[0].target)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_finite_and_reach_every_weight_without_objects_too(family, built, batch):
    model = built(family)
    images, targets, _ = batch
    if family == "sparse_rcnn":  # boxes of many sizes, so that every level of the pyramid is pooled
        model.proposals.weight.data[:, 2:] = torch.linspace(0.1, 5, 12)[:, None]
    model.train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)  # residual blocks begin as identity, which lets no gradient into them at first
    for chosen in (targets, [targets[2]] * 3):
        model.zero_grad()
        losses = model(images, chosen)
        total = sum(losses.values())
        total.backward()
        assert torch.isfinite(total)
        assert all(loss.ndim == 0 for loss in losses.values())
        lost = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
        assert lost == []
        if chosen is targets:
            assert [n for n, p in model.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_detections_are_well_formed_and_threshold_and_freezing_act(family, built, batch):
    model = built(family)
    images, targets, sizes = batch
    model.eval()
    with torch.no_grad():
        found = model(images, sizes=sizes)
        first, second = model(images, targets), model(images, targets)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(found) == len(images)
    for image, (height, width) in zip(found, sizes.tolist(), strict=True):
        boxes, labels, scores = image["boxes"], image["labels"], image["scores"]
        assert 0 < len(scores) <= 100
        assert boxes.shape == (len(scores), 4)
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) <= {0, 1, 2}
        assert torch.equal(scores, scores.sort(descending=True).values)
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= width
        assert boxes[:, 3].max() <= height
    model.set_score_threshold(0.999)
    with torch.no_grad():
        assert not any(len(image["scores"]) for image in model(images))
    model.freeze(5)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("backbone.body.")}
    model.freeze(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "steps", "rate", "part"),
    [("yolof", 30, 1e-4, 0.2), ("sparse_rcnn", 60, 3e-4, 0.1), ("vfnet", 40, 3e-4, 0.2)],
)
def test_each_overfits_one_batch(family, steps, rate, part, built, batch):
    model = built(family)
    images, targets, sizes = batch
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    history = []
    for _ in range(steps):
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < part * history[0], history
    for module in model.modules():  # statistics of the batch: running ones have not settled after so few steps
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(images, targets)
        found = model.eval()(images, sizes=sizes)
    for image, target in zip(found[:2], targets[:2], strict=True):
        hits = box_iou(target["boxes"], image["boxes"]) > 0.5
        assert hits.any(1).all()
        assert torch.equal(image["labels"][hits.int().argmax(1)], target["labels"])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_graph_is_dynamic_and_exact(family, built, batch, tmp_path):
    model = built(family)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    for _ in range(4):
        optimizer.zero_grad()
        sum(model.train()(batch[0], batch[1]).values()).backward()
        optimizer.step()
    model.eval().set_score_threshold(0.02)
    spec = model.export_spec()
    module = copy.deepcopy(spec.module).eval().requires_grad_(False)
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
    found = 0
    for images in (batch[0], batch[0][:1], torch.rand(2, 3, 192, 96, generator=generator), torch.zeros(1, 3, 64, 64)):
        with torch.no_grad():
            boxes, labels, scores, numbers = (output.numpy() for output in module(images))
        actual = session.run(list(spec.outputs), {"input": images.numpy()})
        np.testing.assert_array_equal(numbers, actual[3])
        np.testing.assert_allclose(scores, actual[2], atol=1e-4)
        for image, count in enumerate(numbers.tolist()):
            distance = np.abs(boxes[image, :count, None] - actual[0][image, None, :count]).max(-1)
            distance = distance + 1e3 * (labels[image, :count, None] != actual[1][image, None, :count])
            assert count == 0 or distance.min(1).max() < 0.05
            found += count
    assert found > 2
