"""Every classifier of timm keeps the contract of `Classifier`."""

import logging
import math

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from automl_images.core.errors import SettingsError
from automl_images.core.hyperparameters import resolve
from automl_images.export.onnx import export_onnx
from automl_images.inference.metadata import ClassifierMetadata
from automl_images.models.catalogue import MODELS, build_model, names

TASK = "image_classification"
NAMES = [name for name in MODELS if MODELS.get(name).family == "timm"]
CLASSES = ("can", "carton", "milk_bottle")
GROUPS = {"mobilenetv2": 19, "efficientnet_lite0": 9, "vits16r224": 13, "vitb16r224": 13, "vitl16r224": 25}
QUICK = ("mobilenetv2", "resnet18", "vits16r224")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]
EXPORTED = ("mobilenetv2", "efficientnet_lite0", "vits16r224")
LEARNING = {"vits16r224": (6, 3e-4), "vitb16r224": (6, 1e-4), "vitl16r224": (6, 3e-5)}
"""Steps and rates that fit the depth of a transformer with random weights."""
SMALL = {"validation_resize_size": 72, "validation_crop_size": 64, "training_crop_size": 64}


def built(name, weights=None, **given):
    torch.manual_seed(0)
    sizes = {} if name == "seresnext" else SMALL
    return build_model(TASK, name, CLASSES, resolve(TASK, name, {**sizes, **given}), weights).model


def drawn(count=6, side=64):
    """Noise with a bright square whose colour is the class, and the classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=generator) - 0.5
    labels = torch.arange(count) % 3
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label, 16:48, 16:48] += 2
    return images, labels


def train(model, steps, rate=1e-3):
    """Train on the drawn batch and return the losses."""
    images, labels = drawn()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.train()(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append(loss.item())
    return history


@pytest.mark.parametrize("name", EACH)
def test_new_heads_begin_with_the_loss_of_guessing(name):
    """A loss far above it would spoil a pretrained backbone in the first steps."""
    [loss] = train(built(name), steps=1)
    assert loss == pytest.approx(math.log(3), abs=0.3)


def test_both_tasks_have_the_names_of_the_specification():
    resnets = {f"resnet{depth}" for depth in (18, 34, 50, 101, 152)}
    others = {"mobilenetv2", "resnest50", "resnest101", "seresnext", "vits16r224", "vitb16r224", "vitl16r224"}
    assert set(NAMES) == resnets | others | {"efficientnet_lite0"}
    for task in (TASK, "image_classification_multilabel"):
        assert set(NAMES) <= set(names(task))


@pytest.mark.parametrize("name", NAMES)
def test_each_builds_with_the_size_and_groups_that_are_stated(name):
    with torch.device("meta"):
        model = built(name)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert abs(parameters - MODELS.get(name).million_parameters) < 1
    assert model.classes == CLASSES
    assert len(model.layer_groups()) == GROUPS.get(name, 5)
    heads = [n for n in model.state_dict() if n.startswith(MODELS.get(name).heads)]
    assert [n.rsplit(".", 1)[-1] for n in heads] == ["weight", "bias"]


@pytest.mark.parametrize("name", EACH)
def test_training_reaches_every_weight_and_learns_a_batch(name):
    model = built(name)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    history = train(model, *LEARNING.get(name, (12, 1e-3)))
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []
    assert [n for n, p in model.named_parameters() if torch.equal(before[n], p)] == []
    assert history[0] > 0.5
    assert min(history[-3:]) < 0.2


@pytest.mark.parametrize("name", EACH)
def test_frozen_groups_stay_and_all_others_are_trained(name):
    model = built(name, layers_to_freeze=2)
    frozen = {p for group in model.layer_groups()[:2] for m in group for p in m.parameters()}
    before = {n: value.clone() for n, value in model.state_dict().items()}
    train(model, 2)
    stayed = {n for n, value in model.state_dict().items() if torch.equal(before[n], value)}
    assert frozen
    assert {n for n, p in model.named_parameters() if p in frozen} == {n for n, _ in model.named_parameters()} & stayed
    depth = model.depth_of_parameters()
    statistics = {n for n in before if n.endswith("running_mean") and depth[n.replace("running_mean", "weight")] < 2}
    assert statistics <= stayed


def test_tokens_of_a_transformer_belong_to_its_first_group():
    depth = built("vits16r224").depth_of_parameters()
    first = {name for name, number in depth.items() if number == 0}
    tokens = {"network.cls_token", "network.pos_embed"}
    assert first == tokens | {"network.patch_embed.proj.weight", "network.patch_embed.proj.bias"}
    assert depth["network.blocks.11.mlp.fc2.bias"] == 12
    assert depth["network.norm.weight"] == depth["network.head.weight"] == 13


@pytest.mark.parametrize(
    ("name", "mean", "interpolation"),
    [
        ("mobilenetv2", 0.485, "bicubic"),
        ("resnest50", 0.485, "bilinear"),
        ("vits16r224", 0.5, "bicubic"),
        ("efficientnet_lite0", 0.5, "bicubic"),
    ],
)
def test_preprocessing_is_that_of_the_networks_weights(name, mean, interpolation):
    with torch.device("meta"):
        model = built(
            name, validation_resize_size=90, validation_crop_size=80, training_crop_size=80, whole_image=False
        )
    p = model.preprocessing
    assert (p.resize, p.min_size, p.max_size, p.interpolation) == ("centre_crop", 90, 80, interpolation)
    assert p.mean[0] == mean
    assert p.fill == tuple(255 * value for value in p.mean)
    assert p.std == ((0.5, 0.5, 0.5) if mean == 0.5 else (0.229, 0.224, 0.225))


def test_training_size_may_differ_from_the_validation_crop():
    with torch.device("meta"):
        model = built("resnet18", training_crop_size=48)
    assert (model.training_size, model.preprocessing.max_size) == (48, 64)


def test_sizes_of_seresnext_are_fixed(caplog):
    with torch.device("meta"):
        assert built("seresnext").training_size == 224
        assert caplog.text == ""
        with caplog.at_level(logging.WARNING):
            model = built("seresnext", **SMALL)
    p = model.preprocessing
    assert (p.min_size, p.max_size, model.training_size) == (256, 224, 224)
    assert "validation_resize_size 256; 72 has no effect" in caplog.text


def test_transformer_trains_at_the_validation_crop(caplog):
    with caplog.at_level(logging.WARNING), torch.device("meta"):
        assert built("vits16r224").training_size == 64
        assert caplog.text == ""
        assert built("vits16r224", training_crop_size=96).training_size == 64
    assert "training_crop_size 96 has no effect" in caplog.text


@pytest.mark.parametrize("task", [TASK, f"{TASK}_multilabel"])
def test_a_size_that_whole_images_do_not_need_is_warned_of(task, caplog):
    name = "efficientnet_lite0"
    with caplog.at_level(logging.WARNING), torch.device("meta"):
        for given in ({}, {"validation_resize_size": 288, "whole_image": False}):
            build_model(task, name, CLASSES, resolve(task, name, given), None)
        assert caplog.text == ""
        model = build_model(task, name, CLASSES, resolve(task, name, {"validation_resize_size": 288}), None).model
    assert model.preprocessing.resize == "stretch"
    assert "validation_resize_size 288 has no effect" in caplog.text


def test_crop_of_a_transformer_consists_of_whole_patches():
    with pytest.raises(SettingsError, match=r"multiple of 16 .* got 72\. Set it to 64 or 80"):
        built("vits16r224", validation_crop_size=72)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in EXPORTED else pytest.mark.slow) for n in NAMES])
def test_graph_takes_any_number_of_images_and_gives_torchs_logits(name, tmp_path):
    odd = {"validation_crop_size": 75} if name in {"efficientnet_lite0", "mobilenetv2", "resnest50"} else {}
    model = built(name, **odd)
    train(model, 1)
    spec, side = model.eval().export_spec(), model.preprocessing.max_size
    metadata = ClassifierMetadata(
        model_name=name,
        task=TASK,
        classes=CLASSES,
        labels=spec.labels,
        preprocessing=model.preprocessing,
        decoder=spec.decoder,
    )
    export_onnx(spec, tmp_path / "model.onnx", metadata, torch.zeros(2, 3, side, side))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == ["input1", "output1"]
    for count in (1, 3):
        images, _ = drawn(count, side)
        with torch.no_grad():
            expected = model(images).numpy()
        [actual] = session.run(["output1"], {"input1": images.numpy()})
        assert actual.shape == (count, 3)
        np.testing.assert_allclose(actual, expected, atol=1e-4 * max(1, np.abs(expected).max()))
