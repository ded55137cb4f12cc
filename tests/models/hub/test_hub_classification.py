"""Classifiers of transformers from a folder: weights, preprocessing, freezing, learning and ONNX."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from automl_images.core.errors import ModelError
from automl_images.core.hyperparameters import resolve
from automl_images.models.catalogue import check_model
from automl_images.models.hub.config import input_side, square

TASK = "image_classification"
KINDS = ["vit", "deit", "beit", "swinv2", "convnext", "resnet", "mobilevit"]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_the_folder_arrive_and_the_head_is_new(kind, saved, build):
    folder, network = saved(kind, TASK)
    built = build(TASK, folder)
    assert built.weights.pretrained
    assert built.weights.source == "folder:model.safetensors"
    own, theirs = built.model.network.state_dict(), network.state_dict()
    heads = [name for name, value in own.items() if value.shape != theirs[name].shape]
    assert [name for name in own if name not in heads and not torch.equal(own[name], theirs[name])] == []
    assert heads
    assert all(name.startswith("classifier") for name in heads)


@pytest.mark.parametrize(
    ("kind", "heads"),
    [
        ("levit", {"classifier.linear", "classifier_distill.linear"}),
        ("hgnet_v2", {"fc"}),
        ("textnet", {"fc"}),
        ("pvt", {"classifier"}),
        ("swiftformer", {"head", "dist_head"}),
    ],
)
def test_heads_of_any_name_are_new_for_other_classes(kind, heads, saved, build):
    folder, network = saved(kind, TASK)
    assert check_model(TASK, folder, resolve(TASK, folder, {})) == ""
    built = build(TASK, folder)
    assert built.weights.pretrained
    assert set(built.model.heads) == {f"network.{head}.{part}" for head in heads for part in ("weight", "bias")}
    own, theirs = built.model.network.state_dict(), network.state_dict()
    kept = [name for name in own if f"network.{name}" not in built.model.heads]
    assert all(torch.equal(own[name], theirs[name]) for name in kept)
    side = built.model.training_size
    assert built.model.eval()(torch.rand(2, 3, side, side)).shape == (2, 3)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "imagegpt", "n_embd": 16, "n_layer": 1, "n_head": 2}, "input_ids"),
        ({"model_type": "siglip2"}, "RuntimeError"),
        ({"model_type": "pp_lcnet"}, "logits"),
        ({"model_type": "vit", "image_size": [64, 32], "hidden_size": 24}, "doesn't match model"),
    ],
)
def test_a_network_that_takes_no_square_images_is_refused_before_anything_is_read(config, reason, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    expected = f"{config['model_type']}.*pixels: .*{reason}.*Take a model of another type.*efficientnet_lite0"
    with pytest.raises(ModelError, match=expected):
        check_model(TASK, str(tmp_path), resolve(TASK, str(tmp_path), {}))


@pytest.mark.parametrize("kind", ["beit", "data2vec-vision"])
def test_what_networks_share_is_not_of_the_device_without_memory(kind, saved):
    """A look at the network before the training, which needs no weights, made later networks' positions random."""
    folder = Path(saved("beit", TASK)[0])
    config = json.loads((folder / "config.json").read_text())
    side = 3 * config["image_size"]  # of which no other test has left indices
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "image_size": side}))
    check_model(TASK, str(folder), resolve(TASK, str(folder), {}))
    biases = {
        "beit": "beit.modeling_beit.BeitRelativePositionBias",
        "data2vec-vision": "data2vec.modeling_data2vec_vision.Data2VecVisionRelativePositionBias",
    }
    module, _, name = biases[kind].rpartition(".")
    shared = getattr(importlib.import_module(f"transformers.models.{module}"), name)
    index = shared.generate_relative_position_index((side // config["patch_size"],) * 2)
    assert index.device.type == "cpu"


def test_older_names_of_tensors_are_understood(saved, build):
    from safetensors.torch import load_file

    folder, network = saved("vit", TASK)
    written = set(load_file(f"{folder}/model.safetensors"))
    assert not written <= set(network.state_dict())  # transformers writes the names of its earlier versions
    assert build(TASK, folder).weights.pretrained


@pytest.mark.parametrize("kind", KINDS)
def test_training_step_reaches_every_weight(kind, saved, build):
    model = build(TASK, saved(kind, TASK)[0], None).model.train()
    images = torch.rand(4, 3, model.training_size, model.training_size)
    functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("kind", KINDS)
def test_layer_groups_are_disjoint_and_freeze_from_the_input_on(kind, saved, build):
    model = build(TASK, saved(kind, TASK)[0], layers_to_freeze=2).model
    groups = [[p for module in group for p in module.parameters()] for group in model.layer_groups()]
    identities = [id(p) for group in groups for p in group]
    assert len(groups) >= 3
    assert len(identities) == len(set(identities))
    assert [any(p.requires_grad for p in group) for group in groups] == [False] * 2 + [True] * (len(groups) - 2)
    assert all(p.requires_grad for name, p in model.named_parameters() if "classifier" in name)


def test_it_overfits_a_batch(saved, build):
    model = build(TASK, saved("vit", TASK)[0]).model.train()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    images = torch.rand(6, 3, 64, 64)
    images[range(6), labels] += 2.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert torch.equal(model.eval()(images).argmax(1), labels)


def test_colours_are_reversed_where_the_model_wants_it(saved, build):
    images = torch.rand(2, 3, 64, 64)
    folder, _ = saved("mobilevit", TASK, {"do_flip_channel_order": True, "do_normalize": False, "size": 64})
    model = build(TASK, folder).model.eval()
    assert model.preprocessing.mean == (0.0, 0.0, 0.0)
    torch.testing.assert_close(model(images), model.network(pixel_values=images[:, [2, 1, 0]]).logits)


def test_weights_of_another_network_are_refused(saved, build, tmp_path):
    folder, _ = saved("vit", TASK)
    other, _ = saved("resnet", TASK)
    (tmp_path / "vit" / "model.safetensors").write_bytes((tmp_path / "resnet" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="lacks tensors"):
        build(TASK, folder)
    assert build(TASK, other).weights.pretrained


def test_own_file_of_weights_is_loaded(saved, build, tmp_path):
    from safetensors.torch import save_file

    folder, _ = saved("vit", TASK)
    trained = build(TASK, folder, None).model
    save_file({name: value.clone() for name, value in trained.state_dict().items()}, tmp_path / "own.safetensors")
    again = build(TASK, folder, tmp_path / "own.safetensors").model
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("preprocessor", "config", "side"),
    [
        ({"size": 384}, {}, 384),
        ({"size": {"height": 192, "width": 192}}, {"image_size": 224}, 192),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 240, "width": 240}, "do_center_crop": True}, {}, 240),
        ({"size": 256, "crop_size": 224}, {}, 256),
        ({}, {"image_size": [160, 160]}, 160),
        ({}, {}, 224),
    ],
)
def test_side_of_the_square(preprocessor, config, side):
    assert input_side(config, preprocessor) == side


def test_preprocessing_is_the_models():
    p = square("stretch", 96, {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 3})
    assert (p.mean, p.std, p.interpolation) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")
    assert square("stretch", 96, {}).mean == (0.485, 0.456, 0.406)
    assert square("stretch", 96, {"do_normalize": False}).std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "vit" else pytest.mark.slow) for kind in KINDS]
)
def test_onnx_gives_the_same_logits(kind, saved, build, both):
    model = build(TASK, saved(kind, TASK, {"size": 64})[0]).model.eval()
    torch.nn.init.normal_(next(p for n, p in model.named_parameters() if "classifier" in n and p.dim() > 1))
    run = both(model, TASK)
    for count in (1, 3):
        [expected], [actual] = run(torch.randn(count, 3, 64, 64))
        np.testing.assert_allclose(expected, actual, atol=1e-4)
