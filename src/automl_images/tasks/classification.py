"""Classification: one class an image, or any number of them."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from automl_images.augmentation.build import build
from automl_images.augmentation.plan import AugmentationPlan, Style
from automl_images.augmentation.preview import preview
from automl_images.augmentation.sample import Sample
from automl_images.core.types import FloatArray, Row
from automl_images.data.images import read_image
from automl_images.data.mltable import classes_from_response, labels_of
from automl_images.evaluation.bootstrap import Difference, mean_difference, mean_interval
from automl_images.evaluation.classification import (
    ClassificationEvaluation,
    classification_metrics,
    evaluate_classification,
    log_loss,
)
from automl_images.export.onnx import export_onnx
from automl_images.export.parity_classification import check_class_parity
from automl_images.export.parity_report import Tolerances
from automl_images.export.torch_backend import TorchBackend
from automl_images.inference.classification_predictor import ClassificationPredictor
from automl_images.inference.load import load_predictor
from automl_images.inference.metadata import ClassifierMetadata
from automl_images.models import catalogue
from automl_images.models.base import Classifier, ExportSpec, Network
from automl_images.models.trained import TrainedModel
from automl_images.models.weights import WeightsInfo
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.base import TaskAdapter
from automl_images.tasks.classification_data import NO_OBJECTS, TrainingSet, ValidationSet, class_targets
from automl_images.tasks.classification_learner import ClassificationLearner
from automl_images.training.learner import Learner


class Classification(TaskAdapter):
    """Says what an image shows; `label_kind` `classes` means any number of classes an image."""

    @property
    def multilabel(self) -> bool:
        """Whether an image has any number of classes."""
        return self.label_kind == "classes"

    def augmentation_style(self, model_name: str, values: Mapping[str, Any]) -> Style:
        """Return the style of augmentation for a model with some hyper-parameters."""
        if not values["whole_image"]:
            return super().augmentation_style(model_name, values)
        return "whole_image" if self.multilabel else "large_crop"

    def preview_of_plan(self, rows: Sequence[Row], plan: AugmentationPlan, seed: int) -> Image.Image:
        """Return a grid of augmented samples, each row with its classes."""

        def load(number: int) -> Sample:
            return Sample.from_objects(read_image(rows[number]["image_url"]), NO_OBJECTS)

        def caption(number: int) -> str:
            return ", ".join(labels_of(rows[number]["label"], self.label_kind)) or "no class"

        return preview(load, len(rows), plan, [], seed=seed, captions=caption)

    def learner(
        self, request: TrialRequest, training: Sequence[Row], validation: Sequence[Row]
    ) -> tuple[Learner, WeightsInfo]:
        """Return the classifier with its data."""
        values = request.hyperparameters
        torch.manual_seed(values["random_seed"])  # the new head's random weights
        weights = values["weights"] or "auto"
        built = catalogue.build_model(self.name, request.model_name, request.classes, values, weights)
        model = cast(Classifier, built.model)
        index = {name: i for i, name in enumerate(request.classes)}
        known, held_out = (class_targets(rows, index, self.label_kind) for rows in (training, validation))
        style = self.augmentation_style(request.model_name, values)
        plan = AugmentationPlan.from_dict(request.augmentation_plan[style])
        augmentation = build(plan, model.training_size) if plan.training else None
        p = model.preprocessing
        learner = ClassificationLearner(
            model,
            TrainingSet(training, known, augmentation, p, values["random_seed"]),
            ValidationSet(validation, held_out, p),
            ValidationSet(training, known, p),
            values,
            request.primary_metric,
            self.multilabel,
        )
        return cast(Learner, learner), built.weights  # it takes its own batches only, which a protocol cannot say

    def export(self, model: TrainedModel) -> bytes:
        """Return the ONNX file."""
        network = self._restored(model)
        side = network.preprocessing.max_size
        spec, metadata = self._exported(network, model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export_onnx(spec, path, metadata, torch.zeros(2, 3, side, side))
            return path.read_bytes()

    def parity(
        self, model: TrainedModel, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the comparison of torch and onnxruntime."""
        spec, metadata = self._exported(self._restored(model), model)
        some = rows[: options["images"]]
        truth = self._truth(some, model.settings["classes"])
        report = check_class_parity(
            ClassificationPredictor(TorchBackend(spec, metadata), metadata),
            cast(ClassificationPredictor, load_predictor(onnx_model)),
            [read_image(row["image_url"]) for row in some],
            lambda found: classification_metrics(found, truth, multilabel=self.multilabel)[self.primary_metric],
            tolerances=Tolerances(scores=options["score_tolerance"], metric=options["metric_tolerance"]),
        )
        return report.as_dict()

    def predict(self, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the scoring response of each row."""
        predictor = cast(ClassificationPredictor, load_predictor(onnx_model))
        responses = predictor.respond(read_image(row["image_url"]) for row in rows)
        return [{"filename": row["image_url"], **found} for row, found in zip(rows, responses, strict=True)]

    def evaluate(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the metrics of specification H.1, tables and curves."""
        classes = model.settings["classes"]
        evaluation = self._evaluation(predictions, rows, model, options)
        seed = model.settings["hyperparameters"]["random_seed"]
        interval = mean_interval(evaluation.per_image["correct"], seed=seed)
        cut = f", probability from {evaluation.operating_threshold:g}" if self.multilabel else ""
        definition = f"{self.primary_metric} over images{cut}"
        loss = log_loss(_probabilities(predictions, classes), self._truth(rows, classes), multilabel=self.multilabel)
        return {**evaluation.metrics, "log_loss": loss}, {
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
        """Return the difference of the accuracies, or of the mean Jaccard indices."""
        found, known = (
            self._evaluation(predictions, rows, model, options).per_image["correct"]
            for predictions in (challenger, default)
        )
        seed = model.settings["hyperparameters"]["random_seed"]
        return mean_difference(found, known, confidence=confidence, seed=seed)

    def pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], evaluation: Mapping[str, Any], count: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the images that were judged best and worst, with what was said and what is annotated."""
        per_image, threshold = evaluation["per_image"], evaluation["operating_threshold"]
        judged = list(zip(per_image["correct"], per_image["confidence"], range(len(rows)), strict=True))
        best = sorted(judged, key=lambda item: (-item[0], -item[1], item[2]))
        worst = [item for item in sorted(judged, key=lambda item: (item[0], -item[1], item[2])) if item[0] < 1]

        def page(items: Sequence[tuple[float, float, int]]) -> list[dict[str, Any]]:
            return [
                {
                    "image": read_image(rows[i]["image_url"]),
                    "caption": f"said {self._said(predictions[i], threshold)}; annotated {self._annotated(rows[i])}",
                }
                for _, _, i in items
            ]

        return {"best": page(best[:count]), "worst": page(worst[:count])}

    def _sample(self, row: Row, classes: Sequence[str]) -> dict[str, Any]:
        """Return the image and its classes."""
        return {"image": read_image(row["image_url"]), "caption": self._annotated(row)}

    def _evaluation(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> ClassificationEvaluation:
        classes, threshold = model.settings["classes"], options["score_threshold"]
        return evaluate_classification(
            _probabilities(predictions, classes),
            self._truth(rows, classes),
            classes,
            multilabel=self.multilabel,
            **({} if threshold is None else {"score_threshold": threshold}),
        )

    def _said(self, prediction: Mapping[str, Any], threshold: float) -> str:
        ranked = sorted(zip(prediction["probs"], prediction["labels"], strict=True), reverse=True)
        chosen = [pair for pair in ranked if pair[0] >= threshold] if self.multilabel else ranked[:1]
        return ", ".join(f"{name} {probability:.2f}" for probability, name in chosen) or "nothing"

    def _annotated(self, row: Row) -> str:
        return ", ".join(labels_of(row["label"], self.label_kind)) or "nothing"

    def _truth(self, rows: Sequence[Row], classes: Sequence[str]) -> Any:
        index = {name: i for i, name in enumerate(classes)}
        targets = class_targets(rows, index, self.label_kind).numpy() > 0
        return targets if self.multilabel else targets.argmax(axis=1)

    def _exported(self, network: Network, model: TrainedModel) -> tuple[ExportSpec, ClassifierMetadata]:
        spec = network.export_spec()
        if self.multilabel:
            spec = dataclasses.replace(spec, decoder="sigmoid")
        settings = model.settings
        return spec, ClassifierMetadata(
            model_name=settings["model_name"],
            task=settings["task"],
            classes=tuple(settings["classes"]),
            labels=tuple(spec.labels),
            preprocessing=network.preprocessing,
            decoder=spec.decoder,
            onnx_normalization=settings["hyperparameters"]["enable_onnx_normalization"],
        )


def _probabilities(predictions: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> FloatArray:
    return np.stack([classes_from_response(prediction, classes) for prediction in predictions])
