"""Mask2Former and MaskFormer keep the contract of `Detector` with masks."""

import pytest
import torch
from torchvision.ops import box_iou

from automl_images.data.masks import paste
from automl_images.models.entries.hub_names import SEGMENTERS
from automl_images.models.hub.instances import FAMILIES, GRID

TASK = "instance_segmentation"
UNUSED = "layernorm"  # the last norm of a Swin, which transformers' backbones do not use
EACH = [pytest.param(kind, marks=() if kind == "mask2former" else pytest.mark.slow) for kind in FAMILIES]


def test_the_catalogue_offers_what_can_be_built():
    assert set(SEGMENTERS.types) == set(FAMILIES)


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_of_the_folder_arrive_and_only_heads_are_new(kind, saved, build):
    folder, network = saved(kind, TASK)
    built = build(TASK, folder)
    assert built.weights.pretrained
    own, theirs = built.model.network.state_dict(), network.state_dict()
    same = [name for name, value in own.items() if value.shape == theirs[name].shape]
    assert [name for name in same if not torch.equal(own[name], theirs[name])] == []
    assert {name for name in own if name not in same} == {
        "class_predictor.weight",
        "class_predictor.bias",
        "criterion.empty_weight",
    }


@pytest.mark.parametrize("kind", FAMILIES)
def test_losses_reach_the_weights_and_validation_is_repeatable(kind, saved, build, scenes):
    model = build(TASK, saved(kind, TASK)[0], None).model.train()
    images, targets = scenes(model)
    total = sum(model(images, targets).values())
    total.backward()
    assert torch.isfinite(total)
    assert [n for n, p in model.named_parameters() if p.grad is None and UNUSED not in n] == []
    assert torch.isfinite(sum(model(images[3:], targets[3:]).values()))
    model.eval()
    state = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(model(images, targets)["loss"], model(images, targets)["loss"])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", EACH)
def test_it_learns_masks_and_the_graph_gives_the_same(kind, saved, build, scenes, fit, assert_same_detections):
    model = build(TASK, saved(kind, TASK)[0], None).model
    images, targets = scenes(model)
    fit(model, images, targets, steps=60 if kind == "mask2former" else 200)
    with torch.no_grad():
        found = model(images)
    for one, target in list(zip(found, targets, strict=True))[:2]:
        assert one["masks"].shape[1:] == (GRID, GRID)
        assert one["masks"].min() >= 0
        assert one["masks"].max() <= 1
        overlaps = box_iou(target["boxes"], one["boxes"])
        overlaps[target["labels"][:, None] != one["labels"][None]] = 0
        best, index = overlaps.max(dim=1)
        assert best.min() > 0.7
        pasted = torch.from_numpy(paste(one["masks"][index].numpy(), one["boxes"][index].numpy(), 64, 64, 0.5))
        common, either = (pasted & target["masks"]).sum((1, 2)), (pasted | target["masks"]).sum((1, 2))
        assert (common / either).min() > 0.7
    assert_same_detections(model, TASK)
