import json

import numpy as np
import pytest
from pydantic import ValidationError

from automl_images.core.errors import ModelError
from automl_images.data.preprocessing import preprocess
from automl_images.inference.metadata import DetectorMetadata, metadata_from_properties


def test_properties_round_trip(metadata):
    full = metadata.model_copy(
        update={"tile_grid_size": (3, 2), "class_score_thresholds": {"red": 0.7}, "onnx_normalization": True}
    )
    properties = full.to_properties()
    assert all(isinstance(value, str) for value in properties.values())
    assert json.loads(properties["classes"]) == ["blue", "green", "red"]
    assert metadata_from_properties(properties) == full


def test_names_of_any_language_survive(metadata):
    named = metadata.model_copy(update={"classes": ("Äpfel", "牛乳"), "labels": ("--bg--", "Äpfel", "牛乳")})
    assert "牛乳" in named.to_properties()["classes"]
    assert metadata_from_properties(named.to_properties()).classes == ("Äpfel", "牛乳")


def test_other_properties_are_ignored(metadata):
    assert metadata_from_properties({**metadata.to_properties(), "author": "someone"}) == metadata


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "2"}, "format 2, expected 1"),
        ({"classes": "[not json"}, "'classes' is not JSON"),
        ({"nms_iou_threshold": "7"}, "nms_iou_threshold"),
        ({"preprocessing": '{"resize": "squash", "min_size": 1, "max_size": 1}'}, "preprocessing"),
        ({"labels": '["blue"]'}, "labels must be the classes"),
    ],
)
def test_damage_is_named(metadata, change, message):
    with pytest.raises(ModelError, match=message):
        metadata_from_properties({**metadata.to_properties(), **change})


def test_a_missing_field_is_named(metadata):
    properties = metadata.to_properties()
    del properties["classes"]
    with pytest.raises(ModelError, match="classes"):
        metadata_from_properties(properties)


def test_a_file_of_others_is_refused():
    with pytest.raises(ModelError, match="carries no metadata of AutoML Images"):
        metadata_from_properties({"producer": "someone"})


def test_thresholds_of_unknown_classes_are_refused(metadata):
    with pytest.raises(ValidationError, match="unknown classes"):
        DetectorMetadata(**{**metadata.model_dump(), "class_score_thresholds": {"pink": 0.5}})


def test_label_offset_counts_the_background(metadata):
    assert metadata.label_offset == 1
    assert metadata.model_copy(update={"labels": metadata.classes}).label_offset == 0


def test_a_graph_that_normalises_gets_bytes(metadata):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pixels, _ = preprocess(image, metadata.model_copy(update={"onnx_normalization": True}).input_preprocessing)
    np.testing.assert_allclose(pixels, image.transpose(2, 0, 1), atol=1e-4)
