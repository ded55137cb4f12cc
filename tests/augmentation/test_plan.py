"""Plans: which steps, saved and read again, and what is said about mistakes."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
import yaml

from automl_images.augmentation.build import build
from automl_images.augmentation.plan import AugmentationPlan, Style, augmentation_plan
from automl_images.augmentation.steps import STEPS
from automl_images.core.errors import SettingsError
from automl_images.models.catalogue import MODELS

CROP, EXPAND, FLIP = "random_crop_containing_boxes", "random_expand", "horizontal_flip"
RESIZE, AFFINE = "resize_longest_side", "random_affine"
PART, JITTER = "random_resized_crop", "colour_jitter"


@pytest.mark.parametrize(
    ("style", "augment", "use_mosaic", "names"),
    [
        ("crop_expand_flip", True, True, [CROP, EXPAND, FLIP]),
        ("crop_expand_flip", True, False, [CROP, EXPAND, FLIP]),
        ("crop_expand_flip", False, True, []),
        ("mosaic", True, True, [RESIZE, "mosaic", AFFINE, FLIP]),
        ("mosaic", True, False, [RESIZE, AFFINE, FLIP]),
        ("mosaic", False, True, [RESIZE, "mosaic", "centre_crop"]),
        ("mosaic", False, False, []),
        ("random_resized_crop", True, False, [PART, FLIP, JITTER]),
        ("random_resized_crop", False, True, []),
    ],
)
def test_flags_are_independent(style: Style, augment: bool, use_mosaic: bool, names: list[str]) -> None:
    settings = {"apply_automl_train_augmentations": augment, "apply_mosaic_for_yolo": use_mosaic}
    assert [step.name for step in augmentation_plan(style, settings, 640).steps()] == names


def test_defaults_are_those_of_the_specification() -> None:
    assert augmentation_plan("crop_expand_flip").as_dict()["training"] == [
        {
            "one_of": [
                {
                    "name": CROP,
                    "probability": 0.25,
                    "parameters": {
                        "tries": 50,
                        "minimum_area": 0.6,
                        "minimum_aspect": 0.5,
                        "maximum_aspect": 2.0,
                    },
                },
                {
                    "name": EXPAND,
                    "probability": 0.25,
                    "parameters": {"minimum_ratio": 1.0, "maximum_ratio": 2.0, "fill": [124, 116, 104]},
                },
            ]
        },
        {"name": FLIP, "probability": 0.5, "parameters": {}},
    ]
    affine = augmentation_plan("mosaic", None, 640).as_dict()["training"][2]
    assert affine == {
        "name": AFFINE,
        "probability": 1.0,
        "parameters": {
            "size": 640,
            "fill": [114, 114, 114],
            "minimum_side": 2.0,
            "minimum_area": 0.2,
            "maximum_aspect": 20.0,
            "minimum_scale": 0.5,
            "maximum_scale": 1.5,
        },
    }
    assert augmentation_plan("random_resized_crop").as_dict()["training"] == [
        {
            "name": PART,
            "probability": 1.0,
            "parameters": {
                "size": None,
                "minimum_scale": 0.08,
                "maximum_scale": 1.0,
                "minimum_ratio": 0.75,
                "maximum_ratio": pytest.approx(4 / 3),
                "interpolation": "bilinear",
            },
        },
        {"name": FLIP, "probability": 0.5, "parameters": {}},
        {
            "name": JITTER,
            "probability": 0.5,
            "parameters": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.4},
        },
    ]


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("image_size", [None, 416])
def test_round_trip_through_yaml_and_json(style: Style, image_size: int | None) -> None:
    plan = augmentation_plan(style, {}, image_size)
    assert AugmentationPlan.from_dict(yaml.safe_load(yaml.safe_dump(plan.as_dict()))) == plan
    assert AugmentationPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan


def test_a_plan_can_hold_every_step() -> None:
    values = {"version": 1, "training": [{"name": name, "probability": 0.1} for name in STEPS]}
    plan = AugmentationPlan.from_dict(values)
    build(plan, 64)
    assert AugmentationPlan.from_dict(plan.as_dict()) == plan


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"apply_mosaic_for_yolov5": False}, "Did you mean 'apply_mosaic_for_yolo'?"),
        ({"apply_mosaic_for_yolo": "perhaps"}, "apply_mosaic_for_yolo must be true or false, got 'perhaps'"),
        ({"stream_images": True}, "Did you mean 'stream_image_files'?"),
    ],
)
def test_advanced_settings_with_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        augmentation_plan("mosaic", settings, 640)


def test_advanced_settings_may_come_as_text_and_stream() -> None:
    settings = {"apply_mosaic_for_yolo": "false", "stream_image_files": True}
    assert "mosaic" not in [step.name for step in augmentation_plan("mosaic", settings, 640).steps()]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            [{"name": "horizontal_flipp"}],
            "Unknown augmentation step 'horizontal_flipp'. Did you mean 'horizontal_flip'",
        ),
        ([{"name": FLIP, "probability": 1.5}], "probability.*less than or equal to 1"),
        ([{"name": FLIP, "propability": 0.5}], "propability"),
        ([{"name": EXPAND, "parameters": {"max_ratio": 3}}], "max_ratio.*Did you mean 'maximum_ratio'"),
        ([{"name": EXPAND, "parameters": {"minimum_ratio": 1.9, "maximum_ratio": 1.2}}], "above maximum_ratio"),
        ([{"name": AFFINE, "parameters": {"size": 0}}], "size.*greater than or equal to 1"),
        (
            [{"one_of": [{"name": FLIP, "probability": 0.7}, {"name": EXPAND, "probability": 0.7}]}],
            "at most 1, got 1.4",
        ),
        ([{"one_of": []}], "one_of"),
    ],
)
def test_plans_with_mistakes(training: list[Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AugmentationPlan.from_dict({"version": 1, "training": training})


def test_other_mistakes() -> None:
    with pytest.raises(SettingsError, match="version"):
        AugmentationPlan.from_dict({"version": 2})
    with pytest.raises(SettingsError, match="Did you mean 'mosaic'"):
        augmentation_plan("mosaics")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="resize_longest_side needs a size"):
        build(augmentation_plan("mosaic"))
    with pytest.raises(SettingsError, match="random_resized_crop needs a size"):
        build(augmentation_plan("random_resized_crop"))


def test_description_for_people() -> None:
    assert augmentation_plan("crop_expand_flip").describe() == "crop 25 % or expand 25 %, horizontal flip 50 %"
    assert augmentation_plan("mosaic").describe() == "resize, mosaic of four, random scale, horizontal flip 50 %"
    words = "random resized crop, horizontal flip 50 %, colour jitter 50 %"
    assert augmentation_plan("random_resized_crop").describe() == words
    off = {"apply_automl_train_augmentations": False}
    assert augmentation_plan("crop_expand_flip", off).describe() == "no augmentation"


def test_every_style_of_the_catalogue_has_a_plan() -> None:
    styles = {MODELS.get(name).augmentation_style for name in MODELS.names()}
    assert styles <= set(get_args(Style))
    for style in get_args(Style):
        assert augmentation_plan(style).training
