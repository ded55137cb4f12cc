"""The difference of two models is that of the number by which they are judged, in every task."""

import numpy as np
import pytest

from automl_images.core.hyperparameters import resolve
from automl_images.models.trained import TrainedModel
from automl_images.tasks import get_task

CLASSES = ["a", "b"]
IMAGES = 24
MODELS = {
    "image_classification": "efficientnet_lite0",
    "image_classification_multilabel": "efficientnet_lite0",
    "object_detection": "fasterrcnn_efficientnet_lite0_fpn",
    "instance_segmentation": "maskrcnn_efficientnet_lite0_fpn",
}
OPTIONS = {"score_threshold": None, "validation_metric_type": None}


def row(task, number):
    """Return an image with one object of class `b` where the number is odd, else `a`."""
    name = CLASSES[number % 2]
    corners = {"label": name, "topX": 0.1, "topY": 0.1, "bottomX": 0.6, "bottomY": 0.6, "isCrowd": 0}
    outline = {"label": name, "polygon": [[0.1, 0.1, 0.6, 0.1, 0.6, 0.6, 0.1, 0.6]], "isCrowd": 0}
    label = {"class": name, "classes": [name], "boxes": [corners], "polygons": [outline]}[get_task(task).label_kind]
    return {"image_url": f"{number}.png", "image_details": {"width": 100, "height": 100}, "label": label}


def response(task, number, right, score):
    """Return what a model says of an image; where it is wrong it takes the object for the other class."""
    name = CLASSES[number % 2 if right else 1 - number % 2]
    file = {"filename": f"{number}.png"}
    if get_task(task).label_kind in ("class", "classes"):
        return {**file, "labels": CLASSES, "probs": [score if c == name else 1 - score for c in CLASSES]}
    corners = {"topX": 0.1, "topY": 0.1, "bottomX": 0.6, "bottomY": 0.6}
    found = {"label": name, "score": score, "box": corners}
    if get_task(task).label_kind == "polygons":
        found["polygon"] = [[0.1, 0.1, 0.6, 0.1, 0.6, 0.6, 0.1, 0.6]]
    return {**file, "boxes": [found]}


def model_of(task, **given):
    values = resolve(task, MODELS[task], given)
    return TrainedModel({"classes": CLASSES, "hyperparameters": values}, CLASSES, {})


CASES = [
    *((task, {}, {}) for task in MODELS),
    ("object_detection", {"validation_metric_type": "coco"}, {}),
    ("object_detection", {}, {"score_threshold": 0.7}),
    ("instance_segmentation", {}, {"validation_metric_type": "coco"}),
    ("image_classification_multilabel", {}, {"score_threshold": 0.7}),
]


@pytest.mark.parametrize(("name", "given", "changes"), CASES)
def test_it_is_the_difference_of_the_primary_metric(name, given, changes):
    task, model, options = get_task(name), model_of(name, **given), {**OPTIONS, **changes}
    rng = np.random.default_rng(0)
    rows = [row(name, number) for number in range(IMAGES)]
    often, seldom = (
        [response(name, k, rng.random() < share, round(rng.uniform(0.55, 0.95), 4)) for k in range(IMAGES)]
        for share in (0.95, 0.3)
    )
    numbers = [task.evaluate(p, rows, model, options)[0][task.primary_metric] for p in (often, seldom)]
    found = task.difference(often, seldom, rows, model, options, 0.9)
    assert found.value == pytest.approx(numbers[0] - numbers[1], abs=2e-5)
    assert found.is_better
    assert not task.difference(seldom, often, rows, model, options, 0.9).is_better
    assert not task.difference(often, often, rows, model, options, 0.9).is_better
    interval = task.evaluate(often, rows, model, options)[1]["interval"]
    assert interval["low"] <= numbers[0] <= interval["high"]
