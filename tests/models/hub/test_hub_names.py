"""Names that are not registered: folders, the hub's cache, and what cannot be had."""

import json
import time

import pytest

from automl_images.core.errors import ModelError, SettingsError
from automl_images.models import catalogue, weight_files
from automl_images.models.hub import config as hub_config

CURATED = {
    "microsoft/beit-base-patch16-224-pt22k-ft22k": (86, 224, 13),
    "google/vit-base-patch16-224": (86, 224, 13),
    "facebook/deit-base-patch16-224": (86, 224, 13),
    "microsoft/swinv2-base-patch4-window12-192-22k": (87, 192, 5),
}


def in_cache(root, repository, **files):
    """Put files where huggingface_hub keeps those of a repository."""
    folder = root / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123")
    for name, content in files.items():
        (snapshot / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize("task", ["image_classification", "object_detection", "instance_segmentation"])
def test_unreachable_model_fails_quickly_and_says_what_to_do(task):
    for _ in range(2):  # the first one imports, too
        started = time.perf_counter()
        with pytest.raises(SettingsError, match=r"nobody/nothing is neither .*HF_HUB_OFFLINE.*Download its folder"):
            catalogue.find(task, "nobody/nothing")
    assert time.perf_counter() - started < weight_files.PROBE_SECONDS


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_path_that_does_not_exist(name):
    with pytest.raises(SettingsError, match="There is no folder"):
        catalogue.find("object_detection", name)


def test_name_without_slash_is_a_misspelt_name_of_the_catalogue():
    with pytest.raises(SettingsError, match="Did you mean 'yolov5'"):
        catalogue.find("object_detection", "yolov")


def test_registered_name_of_another_task_is_not_looked_for_at_the_hub():
    with pytest.raises(
        SettingsError, match="is for image_classification and image_classification_multilabel, not for object"
    ):
        catalogue.find("object_detection", "google/vit-base-patch16-224")


def test_folder_without_a_model(tmp_path):
    with pytest.raises(SettingsError, match=r"holds no config\.json.*save_pretrained"):
        catalogue.find("image_classification", str(tmp_path))


@pytest.mark.parametrize(("content", "reason"), [("{", "is not JSON"), ("[1]", "must hold a JSON object, got list")])
def test_damaged_config(tmp_path, content, reason):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(SettingsError, match=reason):
        catalogue.find("image_classification", str(tmp_path))


@pytest.mark.parametrize(
    ("task", "model_type", "alternative"),
    [
        ("image_classification", "bert", "efficientnet_lite0"),
        ("object_detection", "yolos", "fasterrcnn_efficientnet_lite0_fpn"),
        ("object_detection", "vit", "fasterrcnn_efficientnet_lite0_fpn"),
        ("instance_segmentation", "detr", "maskrcnn_efficientnet_lite0_fpn"),
        ("object_detection", None, "fasterrcnn_efficientnet_lite0_fpn"),
    ],
)
def test_type_that_is_not_offered_names_those_that_are(tmp_path, task, model_type, alternative):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {}))
    with pytest.raises(SettingsError, match=f"not offered for {task}.*Types that are: .*{alternative}"):
        catalogue.find(task, str(tmp_path))


def test_config_that_transformers_refuses(tmp_path, build):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": "large"}))
    with pytest.raises(ModelError, match="transformers cannot build"):
        build("image_classification", str(tmp_path), None)


def test_model_in_the_cache_is_found_without_a_network(tmp_path, build):
    vit = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64}
    colours = {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 0.5], "size": 64}
    in_cache(tmp_path / "hf_cache", "some/vit", config=vit, preprocessor_config=colours)
    entry = catalogue.find("image_classification", "some/vit")
    assert (entry.family, entry.augmentation_style) == ("transformers", "random_resized_crop")
    built = build("image_classification", "some/vit")
    assert built.model.preprocessing.mean == (0.5, 0.25, 0.125)
    assert not built.weights.pretrained
    assert "random" in built.weights.note


def test_missing_library_is_said_before_anything_is_read(monkeypatch, tmp_path):
    found = hub_config.importlib.util.find_spec
    monkeypatch.setattr(
        hub_config.importlib.util, "find_spec", lambda name: None if name == "transformers" else found(name)
    )
    for name in (str(tmp_path), "google/vit-base-patch16-224"):
        with pytest.raises(SettingsError, match=r"Install automl-images\[transformers\]"):
            catalogue.find("image_classification", name)


@pytest.mark.parametrize("task", ["image_classification", "image_classification_multilabel"])
def test_curated_classifiers_are_listed(task):
    assert set(CURATED) <= set(catalogue.names(task))


@pytest.mark.parametrize(("name", "facts"), CURATED.items())
def test_curated_classifier_is_built_without_a_network(name, facts, build):
    import torch

    millions, side, groups = facts
    with torch.device("meta"):
        model = build("image_classification", name, None).model
    assert (
        round(sum(p.numel() for p in model.parameters()) / 1e6)
        == millions
        == round(catalogue.MODELS.get(name).million_parameters)
    )
    assert (model.preprocessing.resize, model.preprocessing.max_size, model.training_size) == ("stretch", side, side)
    assert len(model.layer_groups()) == groups
