"""Images with objects drawn on them, for the report: what is annotated, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_images.core.types import ImageArray, Row
from automl_images.data.drawing import class_colour, draw_boxes, draw_masks
from automl_images.data.images import read_image
from automl_images.data.mltable import detections_from_response, objects_from_row
from automl_images.tasks.objects_data import Annotated

WHITE = (255, 255, 255)


def with_annotations(row: Row, annotated: Annotated, classes: Sequence[str]) -> ImageArray:
    """Return the image of a row with its annotated objects drawn, each in the colour of its class."""
    image = annotated.image(read_image(row["image_url"]), row)
    truth = annotated.objects(row, image)
    names, colours = [classes[i] for i in truth.labels], [class_colour(i) for i in truth.labels]
    if truth.masks is not None:
        image = draw_masks(image, truth.masks, colours)
    return draw_boxes(image, truth.boxes, names, colours=colours)


def with_predictions(
    row: Row, prediction: Mapping[str, Any], annotated: Annotated, classes: Sequence[str], threshold: float
) -> ImageArray:
    """Return an image with its ground truth (thin, white) and the predictions above the threshold drawn."""
    image = read_image(row["image_url"])
    height, width = image.shape[:2]
    truth = objects_from_row(row, annotated.class_index, width, height)
    found = detections_from_response(prediction, annotated.class_index, width, height, masks=annotated.masks)
    found = found.take(found.scores >= threshold)
    names, colours = [classes[i] for i in found.labels], [class_colour(i) for i in found.labels]
    if found.masks is not None:
        image = draw_masks(image, found.masks, colours)
    image = draw_boxes(image, truth.boxes, ["" for _ in truth.labels], colours=[WHITE] * len(truth))
    return draw_boxes(image, found.boxes, names, scores=found.scores, colours=colours)
