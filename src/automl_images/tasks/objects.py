"""Object detection and instance segmentation: boxes with a class, and masks where the labels are polygons."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image

from automl_images.augmentation.build import build
from automl_images.augmentation.plan import AugmentationPlan
from automl_images.augmentation.preview import preview
from automl_images.augmentation.sample import Sample
from automl_images.core.types import Detections, Objects, Row
from automl_images.data.images import read_image
from automl_images.data.mask_files import MaskPictures, distinct_names
from automl_images.data.mltable import (
    class_names,
    detections_from_response,
    labels_of,
    objects_from_row,
)
from automl_images.evaluation.bootstrap import (
    Difference,
    mean_average_precision_difference,
    mean_average_precision_interval,
)
from automl_images.evaluation.detection import Evaluation, evaluate_detections, lowest_score
from automl_images.evaluation.voc import voc_metrics
from automl_images.export.onnx import export_onnx
from automl_images.export.parity import check_parity
from automl_images.export.parity_report import Tolerances
from automl_images.export.torch_backend import TorchBackend
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.load import load_predictor
from automl_images.inference.metadata import DetectorMetadata
from automl_images.models import catalogue
from automl_images.models.base import Detector
from automl_images.models.trained import TrainedModel
from automl_images.models.weights import WeightsInfo
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.base import TaskAdapter
from automl_images.tasks.objects_data import Annotated, TrainingSet, ValidationSet
from automl_images.tasks.objects_learner import ObjectsLearner
from automl_images.tasks.objects_pictures import with_annotations, with_predictions
from automl_images.training.learner import Learner

METRIC_TYPES = {"none": "coco_voc", "voc": "coco_voc", "coco_voc": "coco_voc", "coco": "coco"}
"""What the exported model is judged by, unless told otherwise: as in training, with COCO's numbers beside."""

MOST_DETECTIONS = 300
NO_SUPPRESSION = 1.0
"""Detections of an image where the model's table row sets no number (specification G)."""


class FindingObjects(TaskAdapter):
    """Finds objects as boxes; with `label_kind` `polygons` as masks too."""

    @property
    def masks(self) -> bool:
        """Whether objects have masks."""
        return self.label_kind == "polygons"

    def preview_of_plan(self, rows: Sequence[Row], plan: AugmentationPlan, seed: int) -> Image.Image:
        """Return a grid of augmented samples with their objects drawn."""
        classes = class_names(rows, self.label_kind)
        annotated = self._annotated(classes)

        def load(number: int) -> Sample:
            return annotated.sample(rows[number], read_image(rows[number]["image_url"]))

        return preview(load, len(rows), plan, classes, seed=seed)

    def learner(
        self, request: TrialRequest, training: Sequence[Row], validation: Sequence[Row]
    ) -> tuple[Learner, WeightsInfo]:
        """Return the detector with its data."""
        values = request.hyperparameters
        torch.manual_seed(values["random_seed"])  # the new heads' random weights
        weights = values["weights"] or "auto"
        built = catalogue.build_model(self.name, request.model_name, request.classes, values, weights)
        style = self.augmentation_style(request.model_name, values)
        plan = AugmentationPlan.from_dict(request.augmentation_plan[style])
        annotated = self._annotated(request.classes)
        tiling = (values["tile_grid_size"] and tuple(values["tile_grid_size"]), values["tile_overlap_ratio"])
        p = built.model.preprocessing
        seed = values["random_seed"]
        training_set = TrainingSet(training, annotated, build(plan, p.max_size), p, seed, *tiling)
        validation_set = ValidationSet(validation, annotated, p, *tiling)
        unaugmented = ValidationSet(training, annotated, p, *tiling)
        learner = ObjectsLearner(
            cast(Detector, built.model), training_set, validation_set, unaugmented, values, request.primary_metric
        )
        return cast(Learner, learner), built.weights  # it takes its own batches only, which a protocol cannot say

    def export(self, model: TrainedModel) -> bytes:
        """Return the ONNX file."""
        detector = self._detector(model)
        metadata = _metadata(detector, model)
        example = torch.zeros(2, 3, *_example_size(detector))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export_onnx(detector.export_spec(), path, metadata, example)
            return path.read_bytes()

    def parity(
        self, model: TrainedModel, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the comparison of torch and onnxruntime."""
        detector = self._detector(model)
        metadata = _metadata(detector, model)
        classes = model.settings["classes"]
        annotated = self._annotated(classes)
        images = [annotated.image(read_image(row["image_url"]), row) for row in rows[: options["images"]]]
        truths = [annotated.objects(row, image) for row, image in zip(rows, images, strict=False)]
        report = check_parity(
            DetectionPredictor(TorchBackend(detector.export_spec(), metadata), metadata),
            cast(DetectionPredictor, load_predictor(onnx_model)),
            images,
            truths,
            lambda found, truth: voc_metrics(found, truth, len(classes)).mean_average_precision,
            tolerances=Tolerances(
                boxes=options["box_tolerance"],
                scores=options["score_tolerance"],
                masks=options["mask_tolerance"],
                metric=options["metric_tolerance"],
            ),
        )
        return report.as_dict()

    def predict(self, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the scoring response of each row at the low score of the evaluation, with exact masks."""
        predictor = cast(DetectionPredictor, load_predictor(onnx_model))
        images = (read_image(row["image_url"]) for row in rows)
        lowest = lowest_score(predictor.metadata.box_score_threshold)
        responses = predictor.respond(images, score_threshold=lowest, exact=True)
        return [{"filename": row["image_url"], **found} for row, found in zip(rows, responses, strict=True)]

    def mask_pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], model: TrainedModel
    ) -> Iterator[MaskPictures]:
        """Yield the masks of each image above `box_score_threshold` where `export_as_image` asks for pictures."""
        values, classes = model.settings["hyperparameters"], model.settings["classes"]
        if not values.get("export_as_image"):
            return
        index = {name: i for i, name in enumerate(classes)}
        names = distinct_names([row["image_url"] for row in rows])
        for prediction, row, name in zip(predictions, rows, names, strict=True):
            size = int(row["image_details"]["width"]), int(row["image_details"]["height"])
            found = detections_from_response(prediction, index, *size, masks=True)
            shown = found.take(found.scores >= values["box_score_threshold"])
            yield MaskPictures(shown, classes, name, size, values["image_type"])

    def evaluate(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the metrics of specification H.2, tables and curves."""
        values, metric_type = model.settings["hyperparameters"], _metric_type(model, options)
        evaluation = self._evaluation(predictions, rows, model, options)
        interval = mean_average_precision_interval(
            evaluation.matches, recall_points=evaluation.recall_points, seed=values["random_seed"]
        )
        cut = options["score_threshold"]
        lowest = lowest_score(values["box_score_threshold"]) if cut is None else cut
        kind = f"{'masks, ' if self.masks else ''}{'COCO' if metric_type == 'coco' else 'VOC'}"
        definition = f"{kind}, overlap {values['validation_iou_threshold']:g}, scores from {lowest:g}"
        return evaluation.metrics, {
            **evaluation.as_dict(),
            "interval": interval.as_dict(),
            "definition": definition,
        }

    def difference(
        self,
        challenger: Sequence[Mapping[str, Any]],
        default: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
        confidence: float,
    ) -> Difference:
        """Return the difference of the mean average precisions."""
        found, known = (self._evaluation(predictions, rows, model, options) for predictions in (challenger, default))
        seed = model.settings["hyperparameters"]["random_seed"]
        return mean_average_precision_difference(
            found.matches, known.matches, recall_points=known.recall_points, confidence=confidence, seed=seed
        )

    def pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], evaluation: Mapping[str, Any], count: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the images with most and fewest mistakes: predictions and ground truth drawn."""
        counts = zip(
            *(evaluation["per_image"][k] for k in ("true_positives", "false_positives", "false_negatives")), strict=True
        )
        judged = [(fp + fn, -tp, i, f"{tp} found, {fn} missed, {fp} wrong") for i, (tp, fp, fn) in enumerate(counts)]
        good, bad = sorted(judged), sorted(judged, key=lambda item: (-item[0], item[1], item[2]))
        threshold = evaluation["operating_threshold"]
        classes = [row["class_name"] for row in evaluation["per_label_metrics"]]
        annotated = self._annotated(classes)

        def page(items: Sequence[tuple[int, int, int, str]]) -> list[dict[str, Any]]:
            return [
                {"image": with_predictions(rows[i], predictions[i], annotated, classes, threshold), "caption": text}
                for _, _, i, text in items
            ]

        return {"best": page(good[:count]), "worst": page([item for item in bad if item[0]][:count])}

    def _sample(self, row: Row, classes: Sequence[str]) -> dict[str, Any]:
        """Return the image with its objects drawn, and how many of which class they are."""
        counts = Counter(labels_of(row["label"], self.label_kind))
        caption = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "no object"
        return {"image": with_annotations(row, self._annotated(classes), classes), "caption": caption}

    def _evaluation(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> Evaluation:
        classes, values = model.settings["classes"], model.settings["hyperparameters"]
        return evaluate_detections(
            *self._arrays(predictions, rows, classes),
            classes,
            iou_threshold=values["validation_iou_threshold"],
            metric_type=_metric_type(model, options),
            score_threshold=options["score_threshold"],
            operating_threshold=values["box_score_threshold"],
        )

    def _annotated(self, classes: Sequence[str]) -> Annotated:
        return Annotated({name: i for i, name in enumerate(classes)}, self.masks)

    def _arrays(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], classes: Sequence[str]
    ) -> tuple[list[Detections], list[Objects]]:
        """Return predictions and ground truth in pixels of the images, masks as codes."""
        index = {name: i for i, name in enumerate(classes)}
        found, truths = [], []
        for prediction, row in zip(predictions, rows, strict=True):
            width, height = int(row["image_details"]["width"]), int(row["image_details"]["height"])
            found.append(detections_from_response(prediction, index, width, height, codes=self.masks))
            truths.append(objects_from_row(row, index, width, height, codes=self.masks))
        return found, truths

    def _detector(self, model: TrainedModel) -> Detector:
        detector = cast(Detector, self._restored(model))
        detector.set_score_threshold(lowest_score(model.settings["hyperparameters"]["box_score_threshold"]))
        return detector


def _metric_type(model: TrainedModel, options: Mapping[str, Any]) -> str:
    of_model = METRIC_TYPES[model.settings["hyperparameters"]["validation_metric_type"]]
    return str(options["validation_metric_type"] or of_model)


def _metadata(detector: Detector, model: TrainedModel) -> DetectorMetadata:
    values, spec = model.settings["hyperparameters"], detector.export_spec()
    return DetectorMetadata(
        model_name=model.settings["model_name"],
        task=model.settings["task"],
        classes=tuple(model.settings["classes"]),
        labels=tuple(spec.labels),
        preprocessing=detector.preprocessing,
        decoder=spec.decoder,
        box_score_threshold=values["box_score_threshold"],
        graph_score_threshold=spec.score_threshold,
        nms_iou_threshold=values.get("nms_iou_threshold", NO_SUPPRESSION),
        box_detections_per_image=values.get("box_detections_per_image", MOST_DETECTIONS),
        tile_grid_size=values["tile_grid_size"] and tuple(values["tile_grid_size"]),
        tile_overlap_ratio=values["tile_overlap_ratio"],
        tile_predictions_nms_threshold=values["tile_predictions_nms_threshold"],
        onnx_normalization=values["enable_onnx_normalization"],
        mask_pixel_score_threshold=values.get("mask_pixel_score_threshold"),
        max_number_of_polygon_points=values.get("max_number_of_polygon_points", 100),
    )


def _example_size(detector: Detector) -> tuple[int, int]:
    """Return a typical height and width of the network's input."""
    p = detector.preprocessing
    if p.resize in ("letterbox", "stretch"):
        return p.max_size, p.max_size
    side = -(-p.min_size // p.pad_multiple) * p.pad_multiple
    return side, side + p.pad_multiple
