"""Each family of detectors from transformers keeps the contract of `Detector`."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.ops import box_iou

from automl_images.core.errors import SettingsError
from automl_images.models.catalogue import MODELS
from automl_images.models.entries.hub_names import DETECTORS
from automl_images.models.hub.detection import FAMILIES

TASK = "object_detection"
QUICK = ("detr",)
EACH = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in FAMILIES]


def test_the_catalogue_offers_what_can_be_built():
    assert set(DETECTORS.types) == set(FAMILIES)


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_of_the_folder_arrive_and_only_heads_are_new(kind, saved, build):
    folder, network = saved(kind, TASK)
    built = build(TASK, folder)
    assert built.weights.pretrained
    own, theirs = built.model.network.state_dict(), network.state_dict()
    common = [name for name, value in own.items() if name in theirs and value.shape == theirs[name].shape]
    assert [name for name in common if not torch.equal(own[name], theirs[name])] == []
    heads = [name for name, value in own.items() if name in theirs and value.shape != theirs[name].shape]
    assert heads
    assert all(f"network.{name}".startswith(tuple(f"network.{head}" for head in DETECTORS.heads)) for name in heads)
    assert {name.rsplit(".", 1)[1] for name in own if name not in theirs} <= {"num_batches_tracked"}


def test_mmdetections_deformable_detr_starts_from_torchvisions_resnet(build, tmp_path):
    source = resnet50(weights=None)
    torch.save(source.state_dict(), tmp_path / "resnet50.pth")
    name = "mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco"
    built = build(TASK, name, tmp_path / "resnet50.pth")
    assert built.weights.pretrained
    own, theirs = built.model.network.model.backbone.model.state_dict(), source.state_dict()
    assert len(own) > 300
    assert [n for n in own if "num_batches" not in n and not torch.equal(own[n], theirs[n])] == []
    parameters = sum(p.numel() for p in built.model.parameters()) / 1e6
    assert round(parameters) == MODELS.get(name).million_parameters
    assert len(built.model.layer_groups()) == 5


@pytest.mark.parametrize("kind", FAMILIES)
def test_batch_norm_of_the_backbone_rests_only_with_pretrained_weights(kind, saved, build):
    folder, _ = saved(kind, TASK)
    for weights, training in (("auto", False), (None, True)):
        model = build(TASK, folder, weights).model.train()
        norms = [m for m in model.network.model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert {norm.training for norm in norms} == {training}


@pytest.mark.parametrize("kind", FAMILIES)
def test_losses_are_finite_and_reach_every_weight(kind, saved, build, scenes):
    model = build(TASK, saved(kind, TASK)[0], None).model.train()
    total = sum(model(*scenes(model)).values())
    total.backward()
    assert torch.isfinite(total)
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("kind", FAMILIES)
def test_images_without_objects_give_finite_losses(kind, saved, build, scenes):
    model = build(TASK, saved(kind, TASK)[0], None).model.train()
    images, targets = scenes(model)
    assert torch.isfinite(sum(model(images[:2], [targets[3], targets[3]]).values()))


@pytest.mark.parametrize("kind", FAMILIES)
def test_losses_in_eval_mode_are_repeatable_and_change_nothing(kind, saved, build, scenes):
    model = build(TASK, saved(kind, TASK)[0], None).model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        first, second = model(*scenes(model)), model(*scenes(model))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kind", FAMILIES)
def test_detections_are_well_formed(kind, saved, build, scenes):
    model = build(TASK, saved(kind, TASK)[0], None, box_detections_per_image=7).model.eval()
    with torch.no_grad():
        found = model(scenes(model)[0])
        model.set_score_threshold(0.999)
        assert [len(one["scores"]) for one in model(scenes(model)[0])] == [0] * 4
    assert len(found) == 4
    for one in found:
        assert 0 < len(one["scores"]) <= 7
        assert set(one["labels"].tolist()) <= {0, 1, 2}
        assert torch.equal(one["scores"], one["scores"].sort(descending=True).values)
        assert one["boxes"].min() >= 0
        assert one["boxes"].max() <= model.preprocessing.max_size
        assert (one["boxes"][:, 2:] > one["boxes"][:, :2]).all()


def test_too_small_a_square_is_refused(saved, build):
    with pytest.raises(SettingsError, match="image_size must be at least 128"):
        build(TASK, saved("deformable_detr", TASK)[0], None, image_size=64)


@pytest.mark.parametrize("kind", EACH)
def test_graph_gives_the_same_detections(kind, saved, build, scenes, fit, assert_same_detections):
    model = build(TASK, saved(kind, TASK)[0], None).model
    history = fit(model, *scenes(model), steps=40 if kind in QUICK else 150)
    assert history[-1] < history[0]
    assert_same_detections(model, TASK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_it_learns_to_find_the_objects_of_a_batch(kind, saved, build, scenes, fit):
    model = build(TASK, saved(kind, TASK)[0], None).model
    images, targets = scenes(model)
    fit(model, images, targets, steps=400)
    with torch.no_grad():
        found = model(images)
    for one, target in list(zip(found, targets, strict=True))[:3]:
        overlaps = box_iou(target["boxes"], one["boxes"])
        overlaps[target["labels"][:, None] != one["labels"][None]] = 0
        assert overlaps.max(dim=1).values.min() > 0.5


@pytest.mark.parametrize(("kind", "heads"), [("deformable_detr", 3), ("rt_detr", 3), ("rt_detr_v2", 3), ("d_fine", 3)])
def test_each_class_is_unlikely_at_first(kind, heads, saved, build):
    """Two layers and the proposals; with 0.5 the first loss is in the hundreds."""
    network = build(TASK, saved(kind, TASK)[0], None).model.network
    biases = {name: value for name, value in network.named_parameters() if "bias" in name and value.shape == (3,)}
    assert len(biases) == heads, biases.keys()
    assert all(torch.allclose(torch.sigmoid(value), torch.tensor(0.01)) for value in biases.values())
