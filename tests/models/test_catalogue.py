"""The catalogue's names and what an entry promises."""

import importlib
import re
import subprocess
import sys

import pytest

from automl_images.core.errors import SettingsError
from automl_images.core.hyperparameters import find, resolve
from automl_images.models import catalogue


def test_names_of_the_specification_are_there():
    rcnn = {f"fasterrcnn_resnet{depth}_fpn" for depth in (18, 34, 50, 101, 152)}
    expected = rcnn | {"retinanet_resnet50_fpn", "fasterrcnn_efficientnet_lite0_fpn", "yolov5"}
    assert {name for name in catalogue.names("object_detection") if not name.startswith("mmd-3x-")} == expected
    masks = {name.replace("faster", "mask") for name in expected if name.startswith("fasterrcnn")}
    assert masks <= set(catalogue.names("instance_segmentation"))
    for task in ("image_classification", "image_classification_multilabel"):
        assert {f"resnet{depth}" for depth in (18, 34, 50, 101, 152)} < set(catalogue.names(task))
        assert {"mobilenetv2", "resnest50", "seresnext", "vitb16r224"} < set(catalogue.names(task))


def test_unknown_name_names_the_nearest(settings):
    with pytest.raises(SettingsError, match="Did you mean 'fasterrcnn_resnet18_fpn'"):
        catalogue.build_model("object_detection", "fasterrcnn_resnet18", ["a"], settings("yolov5"))


@pytest.mark.parametrize(
    ("task", "name", "nearest"),
    [
        ("object_detection", "atss_r50_fpn_1x_coco", ""),
        ("object_detection", "mmd-3x-atss_r50_fpn_1x_coco", ""),
        ("object_detection", "yolof_r50_c5_8x8_1x_coco", "Did you mean 'mmd-3x-yolof_r50_c5_8x8_1x_coco'"),
        ("instance_segmentation", "mask-rcnn_r50_fpn_1x_lvis-v1", ""),
    ],
)
def test_a_model_of_mmdetection_that_does_not_run_here_has_an_alternative(task, name, nearest):
    with pytest.raises(SettingsError, match=r"MMDetection itself is not used.*_efficientnet_lite0_fpn") as caught:
        catalogue.find(task, name)
    assert nearest in str(caught.value)


def test_model_of_another_task_is_told_of_its_own():
    with pytest.raises(SettingsError, match="'yolov5' is for object_detection, not for image_classification"):
        catalogue.find("image_classification", "yolov5")


@pytest.mark.parametrize("name", catalogue.MODELS.names())
def test_entry_is_complete(name):
    entry = catalogue.MODELS.get(name)
    assert entry.name == name
    assert all(name in catalogue.names(task) for task in entry.tasks)
    module, function = entry.builder.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert entry.licence in {"Apache-2.0", "BSD-3-Clause", "MIT"}
    assert all(source.licence in {"Apache-2.0", "BSD-3-Clause", "MIT"} for source in entry.sources)
    assert entry.heads or entry.builder.endswith(":build_classifier")


def test_defaults_freeze_two_groups_only_with_weights(settings):
    name = "fasterrcnn_efficientnet_lite0_fpn"
    for weights, frozen in (("auto", 2), (None, 0)):
        model = catalogue.build_model("object_detection", name, ["a"], settings(name), weights).model
        trained = [any(p.requires_grad for m in group for p in m.parameters()) for group in model.layer_groups()]
        assert trained == [False] * frozen + [True] * (8 - frozen)


def test_what_is_said_of_frozen_groups_is_so():
    sentence = find("layers_to_freeze").meaning.partition("pretrained weights: ")[2]
    said = {}
    for count, models in re.findall(r"(\d) of (.+?)(?=, \d of|, none)", sentence):
        said |= dict.fromkeys(re.split(r", | and ", models), int(count))
    assert "efficientnet_lite0" in said
    for name in catalogue.MODELS.names():
        fitting = [
            n for words, n in said.items() if name == words or (words[-1] == "…" and name.startswith(words[:-1]))
        ]
        assert catalogue.MODELS.get(name).frozen_groups == (fitting or [0])[0], name


def test_frozen_layers_can_be_trained_again():
    given = {"layers_to_freeze": 0, "freeze_batch_norm": False}
    values = resolve("image_classification", "efficientnet_lite0", given)
    model = catalogue.build_model("image_classification", "efficientnet_lite0", ["a", "b"], values).model
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_importing_the_catalogue_is_light():
    code = (
        "import sys, automl_images.models.catalogue; print('timm' in sys.modules, 'torchvision.models' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]


def test_more_layer_groups_than_there_are_cannot_be_frozen():
    values = resolve("image_classification", "resnet18", {"layers_to_freeze": 6})
    with pytest.raises(SettingsError, match="layers_to_freeze must be at most 5 for resnet18, got 6"):
        catalogue.build_model("image_classification", "resnet18", ["a", "b"], values, weights=None)
