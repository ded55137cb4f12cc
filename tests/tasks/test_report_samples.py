"""The annotated images of the report: every class is seen, and labels are drawn where they are."""

import numpy as np
import pytest
from PIL import Image

from automl_images.tasks import TASKS, get_task

CLASSES = ["a", "b", "rare"]
BOX = {"topX": 0.25, "topY": 0.25, "bottomX": 0.75, "bottomY": 0.75, "isCrowd": 0}
OUTLINE = {"polygon": [[0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75]], "isCrowd": 0}


def label_of(kind, name):
    return {
        "class": name,
        "classes": [name],
        "boxes": [{"label": name, **BOX}],
        "polygons": [{"label": name, **OUTLINE}],
    }[kind]


@pytest.fixture
def rows_of(tmp_path):
    """Return a function that gives 40 rows on one grey image of 200 x 100 pixels; one row has the class `rare`."""
    path = tmp_path / "grey.png"
    Image.new("RGB", (200, 100), (90, 90, 90)).save(path)
    image = {"image_url": str(path), "image_details": {"width": 200, "height": 100}}

    def rows(kind):
        names = ["rare", *("ab"[i % 2] for i in range(39))]
        return [{**image, "label": label_of(kind, name)} for name in names]

    return rows


@pytest.mark.parametrize("name", sorted(TASKS))
def test_samples_show_every_class_and_the_labels(rows_of, name):
    task = get_task(name)
    rows = rows_of(task.label_kind)
    samples = task.samples(rows, CLASSES, 4, seed=3)
    assert len(samples) == 4
    assert {word for sample in samples for word in sample["caption"].split()} >= set(CLASSES)
    assert [s["caption"] for s in samples] == [s["caption"] for s in task.samples(rows, CLASSES, 4, seed=3)]
    changed = np.argwhere((samples[0]["image"] != 90).any(axis=2))
    if task.label_kind not in ("boxes", "polygons"):
        assert len(changed) == 0
        return
    assert {50, 149} <= set(changed[:, 1])  # the sides of the box
    assert {25, 74} <= set(changed[:, 0])
    assert bool((samples[0]["image"][60, 100] != 90).any()) == (task.label_kind == "polygons")


def test_an_image_without_an_object_is_said_to_have_none(rows_of):
    [row, *_] = rows_of("boxes")
    [sample] = get_task("object_detection").samples([{**row, "label": []}], CLASSES, 8, seed=0)
    assert sample["caption"] == "no object"
