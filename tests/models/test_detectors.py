"""Every network of the R-CNN family keeps the contract of `Detector`."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.ops import box_iou

from automl_images.models.backbones import resnet_pyramid
from automl_images.models.catalogue import MODELS, build_model, names

FAMILIES = ("rcnn", "retinanet")
NAMES = [n for n in names("object_detection") if MODELS.get(n).family in FAMILIES]
LITE = "fasterrcnn_efficientnet_lite0_fpn"
CLASSES = ("can", "carton", "water_bottle")
QUICK = (LITE, "retinanet_resnet50_fpn")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]


def built(name, settings, weights=None, **given):
    torch.manual_seed(0)
    values = settings(name, **{"box_score_threshold": 0.02, **given})
    return build_model("object_detection", name, CLASSES, values, weights).model


def trained(name, settings, batch, steps, rate, **given):
    """A network that has learnt a batch a little: scores without ties, boxes that mean something."""
    images, targets, _ = batch
    model = built(name, settings, weights="auto", **given).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate)
    history = []
    for _ in range(steps):
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        history.append(loss.item())
    return model.eval(), history


def assert_same_set(expected, actual, pixels=0.05, score=1e-4):
    """Compare detections as sets: near-tied scores may swap places."""
    assert len(expected["boxes"]) == len(actual["boxes"])
    if len(expected["boxes"]) == 0:
        return
    cost = (expected["boxes"][:, None] - actual["boxes"][None]).abs().amax(-1)
    cost = cost + 1e3 * (expected["labels"][:, None] != actual["labels"][None])
    cost = cost + 10 * (expected["scores"][:, None] - actual["scores"][None]).abs()
    partner = cost.argmin(1)
    assert sorted(partner.tolist()) == list(range(len(partner)))
    assert torch.equal(expected["labels"], actual["labels"][partner])
    assert (expected["boxes"] - actual["boxes"][partner]).abs().max() < pixels
    assert (expected["scores"] - actual["scores"][partner]).abs().max() < score


@pytest.mark.parametrize("name", NAMES)
def test_each_builds_with_the_size_that_the_catalogue_states(name, settings):
    with torch.device("meta"):
        model = built(name, settings)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert abs(parameters - MODELS.get(name).million_parameters) < 1
    assert model.classes == CLASSES
    assert len(model.layer_groups()) == (8 if name == LITE else 5)


@pytest.mark.parametrize("name", EACH)
def test_losses_are_finite_and_reach_every_weight(name, settings, batch):
    images, targets, _ = batch
    model = built(name, settings).train()
    losses = model(images, targets)
    total = sum(losses.values())
    total.backward()
    assert losses
    assert torch.isfinite(total)
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("name", [LITE, "retinanet_resnet50_fpn"])
def test_background_images_alone_give_finite_losses(name, settings, batch):
    images, targets, _ = batch
    model = built(name, settings).train()
    losses = model(images[:2], [targets[2], targets[2]])
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("name", EACH)
def test_detections_are_well_formed(name, settings, batch):
    images, targets, sizes = batch
    model = built(name, settings, box_score_threshold=0.001).train()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0  # deep networks of random weights overflow without statistics of the images
    with torch.no_grad():
        model(images, targets)
        detections = model.eval()(images, sizes=sizes)
    assert len(detections) == len(images)
    for found, (height, width) in zip(detections, sizes.tolist(), strict=True):
        count = len(found["scores"])
        assert 0 < count <= 100
        assert found["boxes"].shape == (count, 4)
        assert found["labels"].dtype == torch.int64
        assert set(found["labels"].tolist()) <= {0, 1, 2}
        assert torch.equal(found["scores"], found["scores"].sort(descending=True).values)
        assert found["scores"].min() > 0.001
        assert (found["boxes"][:, 2:] > found["boxes"][:, :2]).all()
        assert found["boxes"].min() >= 0
        assert found["boxes"][:, 2].max() <= width
        assert found["boxes"][:, 3].max() <= height


@pytest.mark.parametrize("name", [LITE, "retinanet_resnet50_fpn"])
def test_losses_in_eval_mode_change_nothing(name, settings, batch):
    images, targets, _ = batch
    model = built(name, settings).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    random_state = torch.get_rng_state()
    with torch.no_grad():
        first, second = model(images, targets), model(images, targets)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_score_threshold_can_be_lowered_for_evaluation(settings, batch):
    model = built(LITE, settings, box_score_threshold=0.9).eval()
    with torch.no_grad():
        none = sum(len(found["scores"]) for found in model(batch[0]))
        model.set_score_threshold(0.001)
        some = sum(len(found["scores"]) for found in model(batch[0]))
    assert (none, some > 0) == (0, True)


@pytest.mark.parametrize(
    ("name", "groups", "first", "last"),
    [
        (LITE, 8, "backbone.body.conv_stem.weight", "backbone.body.blocks.6.0.conv_pwl.weight"),
        ("fasterrcnn_resnet18_fpn", 5, "backbone.body.conv1.weight", "backbone.body.layer4.1.conv2.weight"),
        ("retinanet_resnet50_fpn", 5, "backbone.body.conv1.weight", "backbone.body.layer4.2.conv3.weight"),
    ],
)
def test_layer_groups_freeze_from_the_input_on(name, groups, first, last, settings):
    with torch.device("meta"):
        model = built(name, settings, layers_to_freeze=1)
    parameters = dict(model.named_parameters())
    assert not parameters[first].requires_grad
    assert parameters[last].requires_grad
    model.freeze(groups)
    assert not any(p.requires_grad for n, p in parameters.items() if n.startswith("backbone.body."))
    assert all(p.requires_grad for n, p in parameters.items() if not n.startswith("backbone.body."))
    model.freeze(0)
    assert all(p.requires_grad for p in parameters.values())


def test_frozen_groups_keep_their_statistics_and_others_move(settings, batch):
    model = built(LITE, settings, layers_to_freeze=1).train()
    frozen = model.get_submodule("backbone.body.bn1")
    free = model.get_submodule("backbone.body.blocks.3.0.bn1")
    before = frozen.running_mean.clone(), free.running_mean.clone()
    model(batch[0], batch[1])
    assert torch.equal(before[0], frozen.running_mean)
    assert not torch.equal(before[1], free.running_mean)


def test_pretrained_backbone_rests_its_norms_and_random_one_does_not(settings):
    norms = (nn.BatchNorm2d,)
    carried = built(LITE, settings, weights="auto").train()
    fresh = built(LITE, settings, weights=None).train()
    assert not any(m.training for m in carried.modules() if isinstance(m, norms))
    assert all(m.training for m in fresh.modules() if isinstance(m, norms))
    assert sum(p.requires_grad for p in fresh.parameters()) > sum(p.requires_grad for p in carried.parameters())


def test_overfits_one_batch(settings, batch):
    model, history = trained(LITE, settings, batch, steps=25, rate=1e-3, layers_to_freeze=3)
    assert history[-1] < 0.35 * history[0]
    with torch.no_grad():
        found = model(batch[0], sizes=batch[2])
    for image, target in zip(found[:2], batch[1][:2], strict=True):
        hits = box_iou(target["boxes"], image["boxes"]) > 0.5
        assert hits.any(1).all()
        surest = hits.int().argmax(1)  # detections come by falling score
        assert torch.equal(image["labels"][surest], target["labels"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != LITE])
def test_each_overfits_one_batch(name, settings, batch):
    _, history = trained(name, settings, batch, steps=25, rate=3e-4)
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_of_random_weights_do_not_grow_with_depth(name):
    """Their residual blocks begin as identity; else the deviation is 2.9 and 3.5, and the first losses are in the tens."""
    torch.manual_seed(0)
    with torch.no_grad():
        levels = resnet_pyramid(name).train()(torch.randn(2, 3, 96, 96))
    assert max(level.std() for level in levels.values()) < 2.2


def test_rcnn_detects_what_torchvision_does(settings, batch):
    model, _ = trained(LITE, settings, batch, steps=4, rate=2e-4, box_score_threshold=0.02)
    stock = FasterRCNN(model.backbone, len(CLASSES) + 1).eval()
    stock.rpn, stock.roi_heads = model.rpn, model.roi_heads
    stock.transform.image_mean, stock.transform.image_std = [0.0] * 3, [1.0] * 3
    stock.transform.min_size, stock.transform.max_size = (128,), 160
    with torch.no_grad():
        expected, actual = stock(list(batch[0])), model(batch[0])
    assert sum(len(found["boxes"]) for found in expected) > 20, [len(found["boxes"]) for found in actual]
    for one, other in zip(expected, actual, strict=True):
        assert_same_set({**one, "labels": one["labels"] - 1}, other)


def test_retinanet_detects_what_torchvision_does(settings, batch):
    name = "retinanet_resnet50_fpn"
    model, _ = trained(name, settings, batch, steps=3, rate=3e-4, box_score_threshold=0.011)
    stock = RetinaNet(model.backbone, len(CLASSES), score_thresh=0.011, detections_per_img=100).eval()
    stock.head = model.head
    stock.transform.image_mean, stock.transform.image_std = [0.0] * 3, [1.0] * 3
    stock.transform.min_size, stock.transform.max_size = (128,), 160
    with torch.no_grad():
        expected, actual = stock(list(batch[0])), model(batch[0])
    assert sum(len(found["boxes"]) for found in expected) > 20, [len(found["boxes"]) for found in actual]
    for one, other in zip(expected, actual, strict=True):
        assert_same_set(one, other)
