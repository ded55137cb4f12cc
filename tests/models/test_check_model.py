"""Whether a model can be built and find its weights is known without building it."""

import logging
import warnings

import pytest
import torch
from safetensors.torch import save_file

from automl_images.core.errors import ModelError, SettingsError
from automl_images.core.hyperparameters import resolve
from automl_images.models.catalogue import MODELS, build_model, check_model

CLASSES, BOXES, MASKS = "image_classification", "object_detection", "instance_segmentation"
LITE = "fasterrcnn_efficientnet_lite0_fpn"


def checked(task, name, **given):
    return check_model(task, name, resolve(task, name, given))


@pytest.mark.parametrize("name", MODELS.names())
def test_every_model_passes_with_its_defaults_and_says_whether_its_weights_are_here(name):
    task = MODELS.get(name).tasks[0]
    warning = checked(task, name)
    if "lite0" in name:
        assert warning == ""
    else:
        assert warning.startswith(f"{name}: ")
        assert "random weights" in warning
        [alternative] = [n for n in MODELS if "lite0" in n and task in MODELS.get(n).tasks]
        assert warning.endswith(f"With weights that are on this machine: {alternative}.")


def test_nothing_is_computed_or_drawn():
    before = torch.random.get_rng_state()
    assert checked(CLASSES, "vitl16r224")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("task", "name", "given", "message"),
    [
        (CLASSES, "vitb16r224", {"validation_crop_size": 225}, "must be a multiple of 16"),
        (CLASSES, "resnet18", {"layers_to_freeze": 6}, "layers_to_freeze must be at most 5 for resnet18, got 6"),
        (
            BOXES,
            "mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco",
            {"image_size": 64},
            "image_size must be at least 128",
        ),
        (BOXES, "yolov6", {}, "Did you mean 'yolov5'"),
    ],
)
def test_settings_that_do_not_suit_a_model_are_named(task, name, given, message):
    with pytest.raises(SettingsError, match=message):
        checked(task, name, **given)


def test_a_file_of_weights_must_be_there_whole_and_of_the_same_network(tmp_path, caplog):
    file = tmp_path / "model.safetensors"
    with pytest.raises(ModelError, match="There is no weights file"):
        checked(BOXES, LITE, weights=file)
    file.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        checked(BOXES, LITE, weights=file)
    other = build_model(BOXES, "fasterrcnn_resnet18_fpn", ["a"], resolve(BOXES, "fasterrcnn_resnet18_fpn", {}), None)
    save_file(other.model.state_dict(), file)
    with pytest.raises(ModelError, match="weights of another network"):
        checked(BOXES, LITE, weights=file)
    own = build_model(BOXES, LITE, ["a", "b", "c"], resolve(BOXES, LITE, {}), None)
    save_file({name: value.contiguous() for name, value in own.model.state_dict().items()}, file)
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checked(BOXES, LITE, weights=file) == ""
    assert not caplog.records


def test_the_warning_of_a_training_from_random_weights_names_a_model_of_the_same_task():
    for task, name, expected in (
        (BOXES, "yolov5", LITE),
        (MASKS, "maskrcnn_resnet18_fpn", "maskrcnn_efficientnet_lite0_fpn"),
        (CLASSES, "resnet18", "efficientnet_lite0"),
    ):
        note = build_model(task, name, ["a", "b"], resolve(task, name, {}), "auto").weights.note
        assert note.endswith(f"With weights that are on this machine: {expected}.")


def test_a_narrower_layer_before_the_masks_takes_what_it_can_of_weights(tmp_path):
    name, widths = "maskrcnn_efficientnet_lite0_fpn", (96, 16, 128)
    made = {
        width: build_model(MASKS, name, ["a"], resolve(MASKS, name, {"mask_predictor_hidden_dim": width}), None).model
        for width in widths
    }
    file = tmp_path / "model.safetensors"
    save_file(made[96].state_dict(), file)
    for width in (16, 128):
        values = resolve(MASKS, name, {"mask_predictor_hidden_dim": width, "weights": file})
        layer = build_model(MASKS, name, ["a"], values, file).model.roi_heads.mask_predictor.conv5_mask
        count = min(width, 96)
        assert torch.equal(layer.weight[:, :count], made[96].roi_heads.mask_predictor.conv5_mask.weight[:, :count])
        assert layer.weight.shape[1] == width
        assert check_model(MASKS, name, values) == ""
