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
    }
    new = {
        "image_size": 320,
        "learning_rate_scheduler": "step",
        "ams_gradient": True,
        "gradient_accumulation_step": 2,
        "nms_iou_threshold": 0.4,
    }
    assert canonical(old) == new


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rat": 0.1}, "Did you mean 'learning_rate'"),
        ({"learning_rate": 1.5}, r"learning_rate must lie in \[0, 1\], got 1.5"),
        ({"tile_overlap_ratio": 1.0}, r"\[0, 1\)"),
        ({"number_of_epochs": 0}, "number_of_epochs must lie in"),
        ({"number_of_epochs": "4.2"}, "whole number"),
        ({"number_of_epochs": True}, "whole number"),
        ({"learning_rate": "nan"}, "must be a number"),
        ({"early_stopping": "perhaps"}, "true or false"),
        ({"optimizer": "sdg"}, "Did you mean 'sgd'"),
        ({"tile_grid_size": "1x1"}, "more than 1x1"),
        ({"min_size": 320, "img_size": 320}, "does not apply"),
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
        ("log_validation_loss", "enable", "Enable"),
        ("log_validation_loss", False, "Disable"),
        ("advanced_settings", '{"apply_mosaic_for_yolo": false}', {"apply_mosaic_for_yolo": False}),
    ],
)
def test_what_people_type_is_understood(name, value, expected):
    assert find(name).parse(value) == expected
