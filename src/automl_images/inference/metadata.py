"""What an ONNX model of this project says about itself: everything needed to use it besides the file.

Owns the fields and their place in the file (`metadata_props`: one property a field, its value as JSON). The numbers
come from the hyper-parameters; `export/` writes them, `Predictor` reads them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from automl_images.core.errors import ModelError
from automl_images.core.types import Preprocessing

FORMAT_VERSION = 1
BACKGROUND = "--bg--"

Fraction = Annotated[float, Field(ge=0, le=1)]


class ModelMetadata(BaseModel):
    """Names and preprocessing of an exported model; what it finds decides which of the two forms below it has.

    Attributes:
        model_name, task: as in the catalogue and the job.
        classes: class names; the index is the 0-based label.
        labels: entries of labels.json, in the index order of the graph's outputs: `classes`, or `--bg--` and `classes`.
        preprocessing: from an image to the input that the *network* sees.
        decoder: name in `inference/decoders.py`.
        class_score_thresholds: by class name, in place of the model's one threshold.
        onnx_normalization: the graph divides by 255 and applies mean and std itself: its input is RGB in 0..255.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_name: str
    task: str
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    decoder: str
    class_score_thresholds: dict[str, Fraction] = {}
    onnx_normalization: bool = False
    format_version: int = FORMAT_VERSION

    @model_validator(mode="after")
    def _labels_fit_classes(self) -> Self:
        if self.labels not in (self.classes, (BACKGROUND, *self.classes)):
            raise ValueError(f"labels must be the classes, at most with {BACKGROUND!r} before them, got {self.labels}")
        unknown = set(self.class_score_thresholds) - set(self.classes)
        if unknown:
            raise ValueError(f"class_score_thresholds names unknown classes: {sorted(unknown)}")
        return self

    @property
    def label_offset(self) -> int:
        """Index of the first class in the graph's outputs: 1 with a background class, else 0."""
        return len(self.labels) - len(self.classes)

    @property
    def input_preprocessing(self) -> Preprocessing:
        """Preprocessing up to the *graph's* input: values 0..255 where the graph normalises by itself."""
        if not self.onnx_normalization:
            return self.preprocessing
        return dataclasses.replace(self.preprocessing, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))

    def to_properties(self) -> dict[str, str]:
        """Return the fields as ONNX `metadata_props`: name to JSON."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in self.model_dump(mode="json").items()}


class ClassifierMetadata(ModelMetadata):
    """Of a model that gives each class a probability.

    Attributes:
        score_threshold: multi-label only: a class of at least this probability is in the image.
    """

    score_threshold: Fraction = 0.5


class DetectorMetadata(ModelMetadata):
    """Of a model that finds objects: thresholds, tiling and masks.

    Attributes:
        box_score_threshold: detections must score higher to be returned, unless the caller asks for another threshold.
        graph_score_threshold: score below which the graph itself returns nothing (0: it returns all). Evaluation can
            go down to it, so it is exported low and `box_score_threshold` is applied afterwards.
        nms_iou_threshold: overlap from which two boxes of a class are one.
        box_detections_per_image: most detections of one pass of the network (an image or a tile).
        tile_grid_size, tile_overlap_ratio, tile_predictions_nms_threshold: tiling at inference; no grid: none.
        mask_pixel_score_threshold: pixels with a higher probability belong to an object; None: there are no masks.
        max_number_of_polygon_points: of a mask's outline in the response.
    """

    box_score_threshold: Fraction
    nms_iou_threshold: Fraction
    box_detections_per_image: Annotated[int, Field(ge=1)]
    graph_score_threshold: Fraction = 0.0
    tile_grid_size: tuple[int, int] | None = None
    tile_overlap_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.25
    tile_predictions_nms_threshold: Fraction = 0.25
    mask_pixel_score_threshold: Fraction | None = None
    max_number_of_polygon_points: Annotated[int, Field(ge=3)] = 100


def metadata_from_properties(properties: Mapping[str, str]) -> ModelMetadata:
    """Return what `ModelMetadata.to_properties` described; properties that are not fields are ignored.

    Raises:
        ModelError: the properties are missing, damaged or of a later format.
    """
    if "format_version" not in properties or "decoder" not in properties:
        raise ModelError(
            "The ONNX file carries no metadata of AutoML Images (properties 'format_version', 'decoder' …). "
            "Use a model.onnx that this project exported."
        )
    form = DetectorMetadata if "box_score_threshold" in properties else ClassifierMetadata
    values = {name: _parse(name, text) for name, text in properties.items() if name in form.model_fields}
    if values["format_version"] != FORMAT_VERSION:
        raise ModelError(
            f"The ONNX file's metadata has format {values['format_version']!r}, expected {FORMAT_VERSION}. "
            "Use the version of automl-images that exported it, or export it again."
        )
    try:
        return form(**values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "labels"
        raise ModelError(
            f"The ONNX file's metadata is damaged: {place}: {first['msg']}. Export the model again."
        ) from error


def _parse(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ModelError(
            f"The ONNX file's metadata is damaged: property {name!r} is not JSON. Export the model again."
        ) from None
