"""Rows that act in classifiers and their data, on the weights that any network begins with, and on its layers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from effects import (
    CLASSES,
    LITE_CLASSIFIER,
    batch_of,
    classifier,
    detector_metadata,
    effect,
    picture,
    request_of,
    rows_of,
    trained,
)
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from automl_images.core.errors import SettingsError
from automl_images.core.files import write_json
from automl_images.core.tracking import NullTracker
from automl_images.data.mltable import write_table
from automl_images.data.preprocessing import normalise
from automl_images.data.splitting import data_hash
from automl_images.export.onnx import exportable
from automl_images.jobs.checkpoints import with_checkpoint
from automl_images.jobs.store import JobStore
from automl_images.models import catalogue
from automl_images.tasks import get_task, run_trial
from automl_images.training.settings import TrainingSettings

MULTILABEL = "image_classification_multilabel"


# Weights to begin with


def weights_file(path, seed):
    """Save random weights of the small classifier."""
    torch.manual_seed(seed)
    values = request_of("image_classification", LITE_CLASSIFIER).hyperparameters
    model = catalogue.build_model("image_classification", LITE_CLASSIFIER, CLASSES, values, weights=None).model
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model.state_dict()


def starts_from(folder, state, **given):
    """Tell whether a learner whose weights come from a checkpoint has these weights."""
    jobs = JobStore(folder / "jobs")
    given = {name: str(value) for name, value in given.items()}
    values = request_of("image_classification", LITE_CLASSIFIER, **given).hyperparameters
    found = with_checkpoint(LITE_CLASSIFIER, values, jobs, NullTracker())["weights"]
    learner = classifier(folder, weights=found)
    return all(torch.equal(value, state[name]) for name, value in learner.model.state_dict().items())


@effect("deterministic")
def _deterministic(folder):
    rows = rows_of(folder, ["a", "b"])
    write_table(rows, folder / "table")
    table = str(folder / "table")
    for wanted in (False, True):
        given = {"deterministic": wanted, "number_of_epochs": 1}
        request = request_of("image_classification", LITE_CLASSIFIER, **given)
        place = folder / str(wanted)
        place.mkdir()
        same = {"training_table": table, "validation_table": table, "data_hash": data_hash(rows, rows)}
        dataclasses.replace(request, **same).save(place)
        seen = set()
        hook = register_module_forward_pre_hook(lambda *_, s=seen: s.add(torch.are_deterministic_algorithms_enabled()))
        try:
            run_trial.run(place)
        finally:
            hook.remove()
        assert seen == {wanted}
    assert not torch.are_deterministic_algorithms_enabled()


@effect("weights")
def _weights(folder):
    state = weights_file(folder / "own.safetensors", seed=5)
    assert starts_from(folder, state, weights=folder / "own.safetensors")
    assert not starts_from(folder, weights_file(folder / "b.safetensors", 6), weights=folder / "own.safetensors")


@effect("checkpoint_run_id")
def _checkpoint_run_id(folder):
    job, _ = JobStore(folder / "jobs").open("fingerprint", "earlier", {})
    states = [weights_file(job.folder / str(trial) / "best.safetensors", seed=trial) for trial in range(2)]
    for trial, score in enumerate((0.9, 0.4)):
        write_json(job.folder / str(trial) / "result.json", {"primary_metric": score})
    assert starts_from(folder, states[0], checkpoint_run_id="earlier")
    assert not starts_from(folder, states[1], checkpoint_run_id="earlier")
    with pytest.raises(SettingsError, match="neither a job"):
        starts_from(folder, states[0], checkpoint_run_id="other")


@effect("checkpoint_dataset_id")
def _checkpoint_dataset_id(folder):
    for seed, place in enumerate((folder / "one", folder / "two")):
        state = weights_file(place / "w.safetensors", seed)
        assert starts_from(folder, state, checkpoint_dataset_id=place, checkpoint_filename="w.safetensors")


@effect("checkpoint_filename")
def _checkpoint_filename(folder):
    for seed, name in enumerate(("one.safetensors", "two.safetensors")):
        state = weights_file(folder / name, seed)
        assert starts_from(folder, state, checkpoint_dataset_id=folder, checkpoint_filename=name)


# Classification


def linear(learner):
    torch.manual_seed(0)
    side = learner.model.training_size
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, len(CLASSES))).train()


def check_loss(learner, smooth, class_weights=(1.0, 1.0), positive_weights=(1.0, 1.0)):
    """Compare the training loss with its formula; `smooth` makes the targets."""
    model, batch = linear(learner), batch_of(learner)
    logits, targets = model(batch.images), smooth(batch.targets)
    if learner.multilabel:
        present = torch.tensor(positive_weights) * targets * logits.sigmoid().log()
        expected = -(present + (1 - targets) * (-logits).sigmoid().log()).mean()
    else:
        expected = -(torch.tensor(class_weights) * targets * logits.softmax(1).log()).sum(1).mean()
    torch.testing.assert_close(learner.losses(model, batch)["loss"], expected)


@effect("weighted_loss")
def _weighted_loss(folder):
    labels = ["a"] * 6 + ["b"] * 2
    root_a, root_b = math.sqrt(1 / 6), math.sqrt(1 / 2)
    mean = (6 * root_a + 2 * root_b) / 8
    for value, weights in ((0, (1.0, 1.0)), (1, (root_a / mean, root_b / mean)), (2, (2 / 3, 2.0))):
        check_loss(classifier(folder, labels, weighted_loss=value), lambda t: t, class_weights=weights)
    many = [["a"]] * 5 + [["a", "b"]] + [[]] * 2  # six of eight have an `a`, one has a `b`
    for value, weights in ((1, (math.sqrt(2 / 6), math.sqrt(7))), (2, (2 / 6, 7.0))):
        learner = classifier(folder, many, MULTILABEL, weighted_loss=value)
        check_loss(learner, lambda t: t, positive_weights=weights)
    all_have_it = [["a"]] * 5 + [["a", "b"]]
    check_loss(classifier(folder, all_have_it, MULTILABEL, weighted_loss=2), lambda t: t, positive_weights=(1 / 6, 5.0))


@effect("label_smoothing")
def _label_smoothing(folder):
    for share in (0.0, 0.3):
        for labels, task in ((["a", "b"], "image_classification"), ([["a"], ["a", "b"]], MULTILABEL)):
            learner = classifier(folder, labels, task, label_smoothing=share)
            check_loss(learner, lambda targets, share=share: (1 - share) * targets + share / 2)


def mixed(folder, **given):
    """Return a batch of two images with the two as they were, and the targets' share of the first."""
    learner = classifier(folder, **given)
    items = [learner.training_set[(0, i)] for i in range(2)]
    plain = learner.collate([dataclasses.replace(item, seed=None) for item in items]).images
    batch = learner.collate(items)
    share = float(batch.targets[0, 0])
    torch.testing.assert_close(batch.targets, torch.tensor([[share, 1 - share], [1 - share, share]]))
    return batch.images, plain, share


@effect("mixup")
def _mixup(folder):
    images, plain, share = mixed(folder, mixup=0)
    assert share == 1
    assert torch.equal(images, plain)
    images, plain, share = mixed(folder, mixup=1000)  # of which the shares are next to a half
    assert share == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(images, share * plain + (1 - share) * plain.flip(0))


@effect("cutmix")
def _cutmix(folder):
    images, plain, share = mixed(folder, cutmix=0)
    assert share == 1
    assert torch.equal(images, plain)
    images, plain, share = mixed(folder, cutmix=1000)
    assert 0.1 < 1 - share < 0.55  # a rectangle of half the area, of which some may lie outside
    pasted = (images == plain.flip(0)).all(dim=1)
    assert (pasted | (images == plain).all(dim=1)).all()
    assert float(pasted[0].float().mean()) == pytest.approx(1 - share, abs=0.01)


@effect("validation_crop_size")
def _validation_crop_size(folder):
    for size in (32, 48):
        learner = classifier(folder, whole_image=False, validation_resize_size=64, validation_crop_size=size)
        cut = (64 - size) // 2
        middle = normalise(picture(64, 64)[cut : 64 - cut, cut : 64 - cut], learner.model.preprocessing)
        np.testing.assert_allclose(learner.validation_set[0].pixels.numpy(), middle, atol=1e-6)


@effect("validation_resize_size")
def _validation_resize_size(folder):
    for size, same in ((64, True), (48, False)):
        learner = classifier(folder, whole_image=False, validation_resize_size=size)
        middle = normalise(picture(64, 64)[16:48, 16:48], learner.model.preprocessing)
        assert np.allclose(learner.validation_set[0].pixels.numpy(), middle, atol=1e-6) is same
        assert learner.model.preprocessing.min_size == size


@effect("training_crop_size")
def _training_crop_size(folder):
    for size in (32, 48):
        assert classifier(folder, training_crop_size=size).training_set[(0, 0)].pixels.shape == (3, size, size)


@effect("whole_image")
def _whole_image(folder):
    for whole in (True, False):
        given = {"whole_image": whole, "validation_resize_size": 64}
        learner = classifier(folder, **given)
        middle = normalise(picture(64, 64)[16:48, 16:48], learner.model.preprocessing)
        assert np.allclose(learner.validation_set[0].pixels.numpy(), middle, atol=1e-6) is not whole
        [plan] = request_of("image_classification", "efficientnet_lite0", **given).augmentation_plan.values()
        assert plan["training"][0]["parameters"]["minimum_scale"] == (0.6 if whole else 0.08)


@effect("advanced_settings")
def _advanced_settings(folder):
    for switch in (True, False):
        learner = classifier(folder, advanced_settings={"apply_automl_train_augmentations": switch})
        same = torch.equal(learner.training_set[(0, 0)].pixels, learner.validation_set[0].pixels)
        assert same is not switch
        plans = request_of("object_detection", "yolov5", advanced_settings={"apply_mosaic_for_yolo": switch})
        steps = [step.get("name") for step in plans.augmentation_plan["mosaic"]["training"]]
        assert ("mosaic" in steps) is switch


@effect("augmentations")
def _augmentations_has_no_effect(folder):
    """The service's runtime knows the row only by name; what happens is advanced_settings' to say."""
    plans = [
        request_of("object_detection", "yolov5", augmentations=value).augmentation_plan for value in (None, "flip")
    ]
    assert plans[0] == plans[1]


# Layers and export


def classifier_steps(folder, **given):
    """Return what the first change of a classifier's weights was."""
    given = {"learning_rate": 0.1, "learning_rate_scheduler": "step", "number_of_epochs": 1, "weights": None} | given
    values = request_of("image_classification", LITE_CLASSIFIER, **given).hyperparameters
    learner = classifier(folder, **given)
    return trained(folder, learner, TrainingSettings.from_hyperparameters(values)).steps[0]


@effect("layer_decay")
def _layer_decay(folder):
    step = classifier_steps(folder, layer_decay=0.5, layers_to_freeze=1)
    rates = {name.removeprefix("network."): options["lr"] for name, options in step.options.items()}
    assert rates["blocks.0.0.conv_dw.weight"] == pytest.approx(0.1 * 0.5**8)  # the stem lies below, the head above
    assert rates["blocks.6.0.conv_dw.weight"] == pytest.approx(0.1 * 0.5**2)
    assert rates["classifier.weight"] == rates["classifier.bias"] == pytest.approx(0.1)


@effect("layers_to_freeze")
def _layers_to_freeze(folder):
    step = classifier_steps(folder, layers_to_freeze=2)
    trainable = {name.removeprefix("network.") for name in step.options}

    def frozen_with(groups):  # norm layers rest everywhere
        network = classifier(folder, layers_to_freeze=groups).model.network
        return {name for name, p in network.named_parameters() if not p.requires_grad and p.ndim > 1}

    frozen = frozen_with(2)
    assert frozen.isdisjoint(trainable)
    assert {name.split(".")[0] for name in frozen} == {"conv_stem", "blocks"}
    assert {name.split(".")[1] for name in frozen if name.startswith("blocks")} == {"0"}
    assert "blocks.1.0.conv_dw.weight" in trainable
    assert {name.split(".")[0] for name in frozen_with(1)} == {"conv_stem"}


@effect("freeze_batch_norm")
def _freeze_batch_norm(folder):
    trained_norms = classifier_steps(folder, freeze_batch_norm=False).options
    resting = classifier_steps(folder, freeze_batch_norm=True).options
    assert {name.split(".")[-2] for name in set(trained_norms) - set(resting)} == {"bn1", "bn2", "bn3"}
    model = classifier(folder, freeze_batch_norm=True).model.train()
    before = model.network.bn2.running_mean.clone()
    model(torch.randn(2, 3, 64, 64))
    assert torch.equal(model.network.bn2.running_mean, before)


@effect("enable_onnx_normalization")
def _enable_onnx_normalization(folder):
    """The graph takes 0..255 as they are; `exportable` is what becomes the file (tests/export goes on from there)."""
    network, task = classifier(folder).model.eval(), get_task("image_classification")
    raw = torch.from_numpy(picture(32, 32)).permute(2, 0, 1)[None].float()
    ready = torch.from_numpy(normalise(picture(32, 32), network.preprocessing))[None]
    for value, given in ((True, raw), (False, ready)):
        request = request_of("image_classification", LITE_CLASSIFIER, enable_onnx_normalization=value)
        spec, about = task._exported(network, task.trained_model(request, {}, {}))
        assert about.onnx_normalization is value
        with torch.no_grad():
            torch.testing.assert_close(exportable(spec, about)(given), network(ready), atol=1e-4, rtol=0)
        assert detector_metadata(enable_onnx_normalization=value).onnx_normalization is value
