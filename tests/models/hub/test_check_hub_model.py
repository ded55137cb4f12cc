"""Models of folders are checked before anything is read, too."""

import json

import pytest
import torch
from safetensors.torch import save_file

from automl_images.core.errors import ModelError, SettingsError
from automl_images.core.hyperparameters import resolve
from automl_images.models.catalogue import build_model, check_model

TASKS = {
    "image_classification": ("vit", "deit", "beit", "swinv2", "convnext", "resnet", "mobilevit"),
    "object_detection": ("detr", "deformable_detr", "rt_detr", "rt_detr_v2", "d_fine"),
    "instance_segmentation": ("mask2former", "maskformer"),
}


@pytest.mark.parametrize(("task", "kind"), [(task, kind) for task, kinds in TASKS.items() for kind in kinds])
def test_a_saved_model_passes_with_the_weights_in_its_folder_and_with_its_own_file(saved, task, kind, tmp_path):
    folder, _ = saved(kind, task)
    values = resolve(task, folder, {})
    assert check_model(task, folder, values) == ""
    torch.manual_seed(0)
    model = build_model(task, folder, ["a", "b", "c"], values, None).model
    save_file({name: value.clone() for name, value in model.state_dict().items()}, tmp_path / "own.safetensors")
    assert check_model(task, folder, {**values, "weights": tmp_path / "own.safetensors"}) == ""


def test_a_size_that_is_too_small_and_a_config_that_is_refused(saved, tmp_path):
    folder, _ = saved("mask2former", "instance_segmentation")
    with pytest.raises(SettingsError, match="image_size must be at least 64"):
        check_model("instance_segmentation", folder, resolve("instance_segmentation", folder, {"image_size": 32}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": "large"}))
    with pytest.raises(ModelError, match="transformers cannot build"):
        check_model("image_classification", str(tmp_path), resolve("image_classification", str(tmp_path), {}))


def test_a_folder_without_weights_and_a_curated_name_offline_are_warned_of(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    for name in (str(tmp_path), "google/vit-base-patch16-224"):
        warning = check_model("image_classification", name, resolve("image_classification", name, {}))
        assert "random weights" in warning
        assert warning.endswith("on this machine: efficientnet_lite0.")
