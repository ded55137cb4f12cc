import json

import pytest

from automl_images.core.errors import SettingsError
from automl_images.core.hyperparameters import TABLE, canonical, find, resolve

LITE = "fasterrcnn_efficientnet_lite0_fpn"


def test_every_row_has_a_default_that_it_accepts_itself():
    for row in TABLE:
        for value in [row.default, *(value for _, value in row.defaults)]:
            assert value is None or row.parse(value) == value


def test_no_spelling_is_used_twice():
    spellings = [s for row in TABLE for s in (row.name, *row.aliases)]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    ("model_name", "name", "expected"),
    [
        ("yolov5", "number_of_epochs", 30),
        ("yolov5", "training_batch_size", 16),
        ("yolov5", "learning_rate", 0.01),
        ("yolov5", "box_score_threshold", 0.1),
        ("fasterrcnn_resnet50_fpn", "number_of_epochs", 15),
        ("fasterrcnn_resnet50_fpn", "training_batch_size", 2),
        ("fasterrcnn_resnet50_fpn", "learning_rate", 0.005),
        ("fasterrcnn_resnet50_fpn", "min_size", 600),
        ("fasterrcnn_resnet50_fpn", "max_size", 1333),
        ("retinanet_resnet50_fpn", "box_score_threshold", 0.3),
        ("retinanet_resnet50_fpn", "warmup_cosine_lr_cycles", 0.45),
    ],
)
def test_documented_defaults(model_name, name, expected):
    assert resolve("object_detection", model_name, {})[name] == expected


def test_both_spellings_mean_the_same():
    old = {
        "img_size": 320,
        "lr_scheduler": "step",
        "amsgrad": "y",
        "grad_accumulation_step": "2",
        "box_iou_thresh": 0.4,
        "resize_size": 300,
        "crop_size": 256,
    }
    new = {
        "image_size": 320,
        "learning_rate_scheduler": "step",
        "ams_gradient": True,
        "gradient_accumulation_step": 2,
        "nms_iou_threshold": 0.4,
        "validation_resize_size": 300,
        "validation_crop_size": 256,
    }
    assert canonical(old) == new


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rat": 0.1}, "Did you mean 'learning_rate'"),
        ({"lr": 0.1}, "Did you mean 'learning_rate'"),
        ({"learning_rate": 1.5}, r"learning_rate must lie in \[0, 1\], got 1.5"),
        ({"tile_overlap_ratio": 1.0}, r"\[0, 1\)"),
        ({"beta1": 1}, r"beta1 must lie in \[0, 1\), got 1"),
        ({"beta2": 1.0}, r"beta2 must lie in \[0, 1\)"),
        ({"layers_to_freeze": -1}, "layers_to_freeze must lie in"),
        ({"number_of_epochs": 0}, "number_of_epochs must lie in"),
        ({"number_of_epochs": "4.2"}, "whole number"),
        ({"number_of_epochs": True}, "whole number"),
        ({"soup": 1e308}, r"soup must lie in \[1, 10\], got 1e\+308\."),
        ({"learning_rate": "9" * 400}, "must be a number, got '9{78}…"),
        ({"learning_rate": "nan"}, "must be a number"),
        ({"early_stopping": "perhaps"}, "true or false"),
        ({"optimizer": "sdg"}, "Did you mean 'sgd'"),
        ({"tile_grid_size": "1x1"}, "more than 1x1"),
        ({"min_size": 320, "img_size": 320}, "does not apply to .* it is for yolov5, models of the hub"),
        ({"seed": 1, "random_seed": 2}, "given twice"),
        ({"advanced_settings": "[1]"}, "JSON object"),
        ({"min_size": 800}, "min_size 800 is above max_size 533"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(SettingsError, match=message):
        resolve("object_detection", LITE, given)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number_of_epochs", "4.0", 4),
        ("early_stopping", "Off", False),
        ("tile_grid_size", "(3, 2)", (3, 2)),
        ("tile_grid_size", "3X2", (3, 2)),
        ("tile_grid_size", [3, 2], (3, 2)),
        ("model_size", "xlarge", "extra_large"),
        ("learning_rate_scheduler", "WarmupCosine", "warmup_cosine"),
        ("learning_rate_scheduler", "None", "none"),
        ("optimizer", "AdamW", "adamw"),
        ("mixed_precision", False, "no"),  # what YAML makes of no
        ("random_seed", "4294967295", 4294967295),
        ("log_validation_loss", "enable", "Enable"),
        ("log_validation_loss", False, "Disable"),
        ("advanced_settings", '{"apply_mosaic_for_yolo": false}', {"apply_mosaic_for_yolo": False}),
    ],
)
def test_what_people_type_is_understood(name, value, expected):
    assert find(name).parse(value) == expected


def test_null_on_the_command_line_is_none():
    assert canonical({"model_name": "null", "learning_rate": "null"}) == {"model_name": None, "learning_rate": None}


CURATED = {
    "beit": "microsoft/beit-base-patch16-224-pt22k-ft22k",
    "vit": "google/vit-base-patch16-224",
    "deit": "facebook/deit-base-patch16-224",
    "swinv2": "microsoft/swinv2-base-patch4-window12-192-22k",
    "mobilevit": "apple/mobilevit-small",
}


@pytest.mark.parametrize("name", CURATED.values())
def test_a_curated_name_in_the_spelling_of_the_registry_is_understood(name):
    assert canonical({"model_name": name.replace("/", "-", 1)}) == {"model_name": name}
    assert canonical({"model_name": name}) == {"model_name": name}
    assert canonical({"model_name": "vitb16r224"}) == {"model_name": "vitb16r224"}


def copied(folder, **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize("model_type", CURATED)
@pytest.mark.parametrize("task", ["image_classification", "image_classification_multilabel"])
def test_a_copy_of_a_curated_model_has_its_defaults(tmp_path, task, model_type):
    folder = copied(tmp_path / "anything", model_type=model_type)
    assert resolve(task, folder, {}) == resolve(task, CURATED[model_type], {})


def test_a_config_that_names_its_origin_has_the_origins_defaults(tmp_path):
    folder = copied(tmp_path / "copy", model_type="vit", _name_or_path=CURATED["deit"])
    assert resolve("image_classification", folder, {})["training_batch_size"] == 60


@pytest.mark.parametrize("content", ["{", "[1]", '{"model_type": null}'])
def test_a_folder_that_says_nothing_of_itself_has_the_defaults_of_the_hub(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert resolve("image_classification", str(tmp_path), {})["training_batch_size"] == 8


@pytest.mark.parametrize("name", ["yolov5", "fasterrcnn_resnet50_fpn", "mmd-3x-yolof", "efficientnet_lite0"])
def test_the_name_of_a_folder_says_nothing(tmp_path, name):
    folder = copied(tmp_path / name, model_type="rt_detr")
    values = resolve("object_detection", folder, {})
    assert (
        values == resolve("object_detection", "PekingU/rtdetr_r50vd", {}) == resolve("object_detection", "a/yolov5", {})
    )
    assert (values["image_size"], values["learning_rate"], values["number_of_epochs"]) == (640, 5e-5, 15)
    for other, value in {"model_size": "small", "min_size": 600, "nms_iou_threshold": 0.5}.items():
        with pytest.raises(SettingsError, match="does not apply"):
            resolve("object_detection", folder, {other: value})


def test_a_config_that_is_written_anew_is_read_anew(tmp_path):
    assert resolve("object_detection", copied(tmp_path, model_type="detr"), {})["image_size"] == 800
    assert resolve("object_detection", copied(tmp_path, model_type="rt_detr", more="x"), {})["image_size"] == 640


@pytest.mark.parametrize(
    "model_name",
    [
        "mmd-3x-sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco",
        "mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco",
        "facebook/detr-resnet-50",
    ],
)
def test_an_overlap_for_a_model_that_suppresses_nothing_is_an_error(model_name):
    with pytest.raises(
        SettingsError, match=r"does not apply to .* the others find each object once and suppress nothing"
    ):
        resolve("object_detection", model_name, {"nms_iou_threshold": 0.4})
    assert "nms_iou_threshold" in resolve("object_detection", "mmd-3x-yolof_r50_c5_8x8_1x_coco", {})


def test_groups_of_models_are_words_not_patterns():
    groups = [models for row in TABLE for models in (row.applies_to, *(models for models, _ in row.defaults))]
    assert not [models.words for models in groups if set("*[]?") & set(models.words)]


def test_ranges_that_are_narrower_than_the_services_are_those_that_the_documentation_names():
    assert all(
        (find(name).minimum, find(name).maximum, find(name).open_maximum) == (0, 1, True) for name in ("beta1", "beta2")
    )
    crops = ("validation_resize_size", "validation_crop_size", "training_crop_size")
    assert {find(name).minimum for name in (*crops, "min_size", "max_size", "image_size")} == {32}
    assert find("max_number_of_polygon_points").minimum == 3
