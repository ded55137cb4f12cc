"""Object detection: boxes with a class."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image

from automl_images.augmentation.build import build
from automl_images.augmentation.plan import AugmentationPlan, detection_plan
from automl_images.augmentation.preview import preview
from automl_images.augmentation.sample import Sample
from automl_images.core.types import Detections, ImageArray, Objects, Row
from automl_images.data.drawing import class_colour, draw_boxes
from automl_images.data.images import read_image
from automl_images.data.mltable import class_names, detections_from_response, detections_to_response, objects_from_row
from automl_images.evaluation.bootstrap import mean_average_precision_interval
from automl_images.evaluation.detection import evaluate_detections
from automl_images.evaluation.voc import voc_metrics
from automl_images.export.onnx import export_onnx
from automl_images.export.parity import Tolerances, check_parity
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
from automl_images.tasks.detection_data import TrainingSet, ValidationSet
from automl_images.tasks.detection_learner import EVALUATION_SCORE, DetectionLearner
from automl_images.training.learner import Learner

METRIC_TYPES = {"none": "coco_voc", "voc": "coco_voc", "coco_voc": "coco_voc", "coco": "coco"}
"""What the exported model is judged by, unless told otherwise: as in training, with COCO's numbers beside."""

MOST_DETECTIONS = 300
"""Detections of an image where the model's table row sets no number (specification G)."""


class ObjectDetection(TaskAdapter):
    """Finds objects as boxes."""

    def augmentation_plans(self, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the plan of each augmentation style that the models use."""
        plans: dict[str, Any] = {}
        for model_name, values in models.items():
            style = catalogue.find(self.name, model_name).augmentation_style
            plans.setdefault(style, detection_plan(style, values["advanced_settings"]).as_dict())
        return plans

    def augmentation_preview(self, rows: Sequence[Row], plans: Mapping[str, Any], seed: int) -> Image.Image:
        """Return one grid of augmented samples for each style, below one another."""
        classes = class_names(rows, self.label_kind)
        index = {name: i for i, name in enumerate(classes)}

        def load(number: int) -> Sample:
            image = read_image(rows[number]["image_url"])
            return Sample.from_objects(image, objects_from_row(rows[number], index, image.shape[1], image.shape[0]))

        pages = [
            preview(load, len(rows), AugmentationPlan.from_dict(plan), classes, seed=seed) for plan in plans.values()
        ]
        return _below_one_another(pages)

    def learner(
        self, request: TrialRequest, training: Sequence[Row], validation: Sequence[Row]
    ) -> tuple[Learner, WeightsInfo]:
        """Return the detector with its data."""
        values = request.hyperparameters
        torch.manual_seed(values["random_seed"])  # the new heads' random weights
        weights = values["weights"] or "auto"
        built = catalogue.build_model(self.name, request.model_name, request.classes, values, weights)
        style = catalogue.find(self.name, request.model_name).augmentation_style
        plan = AugmentationPlan.from_dict(request.augmentation_plan[style])
        index = {name: i for i, name in enumerate(request.classes)}
        tiling = (values["tile_grid_size"] and tuple(values["tile_grid_size"]), values["tile_overlap_ratio"])
        p = built.model.preprocessing
        seed = values["random_seed"]
        training_set = TrainingSet(training, index, build(plan, p.max_size), p, seed, *tiling)
        validation_set = ValidationSet(validation, index, p, *tiling)
        unaugmented = ValidationSet(training, index, p, *tiling)
        learner = DetectionLearner(
            built.model, training_set, validation_set, unaugmented, values, request.primary_metric
        )
        return cast(Learner, learner), built.weights  # it takes its own batches only, which a protocol cannot say

    def trained_model(
        self, request: TrialRequest, state: Mapping[str, torch.Tensor], about: Mapping[str, Any]
    ) -> TrainedModel:
        """Return the detector's tensors with everything needed to build it again."""
        model = self._build(request.model_name, request.classes, request.hyperparameters)
        settings = {
            "task": self.name,
            "model_name": request.model_name,
            "classes": list(request.classes),
            "hyperparameters": request.hyperparameters,
            "preprocessing": model.preprocessing.as_dict(),
            **about,
        }
        return TrainedModel(settings, list(model.export_spec().labels), dict(state))

    def export(self, model: TrainedModel) -> bytes:
        """Return the ONNX file."""
        detector = self._restore(model)
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
        detector = self._restore(model)
        metadata = _metadata(detector, model)
        classes = model.settings["classes"]
        images, truths = _images_and_truths(rows[: options["images"]], classes)
        report = check_parity(
            DetectionPredictor(TorchBackend(detector.export_spec(), metadata), metadata),
            load_predictor(onnx_model),
            images,
            truths,
            lambda found, truth: voc_metrics(found, truth, len(classes)).mean_average_precision,
            tolerances=Tolerances(options["box_tolerance"], options["score_tolerance"], options["metric_tolerance"]),
        )
        return report.as_dict()

    def predict(self, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the scoring response of each row at the low score of the evaluation."""
        predictor = load_predictor(onnx_model)
        classes = predictor.metadata.classes
        responses = []
        for row in rows:
            image = read_image(row["image_url"])
            [found] = predictor.predict([image], score_threshold=EVALUATION_SCORE)
            response = detections_to_response(found, classes, image.shape[1], image.shape[0])
            responses.append({"filename": row["image_url"], **response})
        return responses

    def evaluate(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the metrics of specification H.2, tables and curves."""
        classes, values = model.settings["classes"], model.settings["hyperparameters"]
        metric_type = options["validation_metric_type"] or METRIC_TYPES[values["validation_metric_type"]]
        evaluation = evaluate_detections(
            *_as_arrays(predictions, rows, classes),
            classes,
            iou_threshold=values["validation_iou_threshold"],
            metric_type=metric_type,
            score_threshold=options["score_threshold"],
            operating_threshold=values["box_score_threshold"],
        )
        interval = mean_average_precision_interval(evaluation.matches, seed=values["random_seed"])
        definition = (
            f"{'COCO' if metric_type == 'coco' else 'VOC'}, overlap {values['validation_iou_threshold']:g}, "
            f"scores from {EVALUATION_SCORE if options['score_threshold'] is None else options['score_threshold']:g}"
        )
        return evaluation.metrics, {
            **evaluation.as_dict(),
            "interval": interval.as_dict(),
            "definition": definition,
        }

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

        def page(items: Sequence[tuple[int, int, int, str]]) -> list[dict[str, Any]]:
            return [
                {"image": _drawn(rows[i], predictions[i], classes, threshold), "caption": text}
                for _, _, i, text in items
            ]

        return {"best": page(good[:count]), "worst": page([item for item in bad if item[0]][:count])}

    def _build(self, model_name: str, classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> Detector:
        return catalogue.build_model(self.name, model_name, classes, hyperparameters, weights=None).model

    def _restore(self, model: TrainedModel) -> Detector:
        settings = model.settings
        detector = self._build(settings["model_name"], settings["classes"], settings["hyperparameters"])
        detector.load_state_dict(model.state)
        detector.set_score_threshold(EVALUATION_SCORE)
        return detector.eval()


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
        nms_iou_threshold=values["nms_iou_threshold"],
        box_detections_per_image=values.get("box_detections_per_image", MOST_DETECTIONS),
        tile_grid_size=values["tile_grid_size"] and tuple(values["tile_grid_size"]),
        tile_overlap_ratio=values["tile_overlap_ratio"],
        tile_predictions_nms_threshold=values["tile_predictions_nms_threshold"],
        onnx_normalization=values["enable_onnx_normalization"],
    )


def _example_size(detector: Detector) -> tuple[int, int]:
    """Return a typical height and width of the network's input."""
    p = detector.preprocessing
    if p.resize == "letterbox":
        return p.max_size, p.max_size
    side = -(-p.min_size // p.pad_multiple) * p.pad_multiple
    return side, side + p.pad_multiple


def _images_and_truths(rows: Sequence[Row], classes: Sequence[str]) -> tuple[list[ImageArray], list[Objects]]:
    index = {name: i for i, name in enumerate(classes)}
    images = [read_image(row["image_url"]) for row in rows]
    sized = zip(rows, images, strict=True)
    return images, [objects_from_row(row, index, image.shape[1], image.shape[0]) for row, image in sized]


def _as_arrays(
    predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], classes: Sequence[str]
) -> tuple[list[Detections], list[Objects]]:
    """Return predictions and ground truth in pixels of the images."""
    index = {name: i for i, name in enumerate(classes)}
    found, truths = [], []
    for prediction, row in zip(predictions, rows, strict=True):
        width, height = int(row["image_details"]["width"]), int(row["image_details"]["height"])
        found.append(detections_from_response(prediction, index, width, height))
        truths.append(objects_from_row(row, index, width, height))
    return found, truths


def _drawn(row: Row, prediction: Mapping[str, Any], classes: Sequence[str], threshold: float) -> ImageArray:
    """Return an image with its ground truth (thin) and the predictions above the threshold drawn."""
    image = read_image(row["image_url"])
    height, width = image.shape[:2]
    index = {name: i for i, name in enumerate(classes)}
    truth = objects_from_row(row, index, width, height)
    found = detections_from_response(prediction, index, width, height)
    found = found.take(found.scores >= threshold)
    image = draw_boxes(image, truth.boxes, ["" for _ in truth.labels], colours=[(255, 255, 255)] * len(truth))
    names, colours = [classes[i] for i in found.labels], [class_colour(i) for i in found.labels]
    return draw_boxes(image, found.boxes, names, scores=found.scores, colours=colours)


def _below_one_another(pages: Sequence[Image.Image]) -> Image.Image:
    if len(pages) == 1:
        return pages[0]
    joined = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white")
    top = 0
    for page in pages:
        joined.paste(page, (0, top))
        top += page.height
    return joined
