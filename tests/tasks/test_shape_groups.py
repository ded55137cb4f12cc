"""Detectors that pad a batch to its largest image put images of one shape together."""

import pytest

from automl_images.core.types import Preprocessing
from automl_images.tasks.objects_data import Annotated, TrainingSet

OBJECT = {"label": "a", "topX": 0.1, "topY": 0.1, "bottomX": 0.4, "bottomY": 0.4}


def groups(sizes, resize="shorter_side", grid=None):
    rows = [
        {"image_url": f"{i}.jpg", "image_details": {"width": width, "height": height}, "label": [OBJECT]}
        for i, (width, height) in enumerate(sizes)
    ]
    preprocessing = Preprocessing(resize, 320, 512)
    return TrainingSet(rows, Annotated({"a": 0}), None, preprocessing, 0, grid).shape_groups


def test_high_square_and_wide_images():
    assert groups([(400, 300), (300, 400), (300, 300), (320, 300)]) == [1, -1, 0, 0]


def test_a_tile_has_its_own_shape():
    assert groups([(800, 300)], grid=(3, 1)) == [1, 0, 0]  # two tiles of 320 x 300 hold a part of the object


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_where_all_inputs_are_squares_there_are_none(resize):
    assert not groups([(400, 300), (300, 400)], resize)
