"""The contract between a task and everything else: what a stage asks, an adapter answers.

A new task is one adapter, its facts (`facts.py`) and one parameters file; no other room compares task names.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from automl_images.augmentation.plan import AugmentationPlan, Style, augmentation_plan
from automl_images.core.types import Row
from automl_images.data.mask_files import MaskPictures
from automl_images.data.mltable import labels_of
from automl_images.evaluation.bootstrap import Difference
from automl_images.models import catalogue
from automl_images.models.base import Network
from automl_images.models.trained import TrainedModel
from automl_images.models.weights import WeightsInfo
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks.facts import TaskFacts
from automl_images.training.learner import Learner


class TaskAdapter(abc.ABC):
    """One task type.

    Attributes:
        name, label_kind, primary_metric, default_model: see `TaskFacts`.
    """

    def __init__(self, facts: TaskFacts) -> None:
        self.name = facts.name
        self.label_kind = facts.label_kind
        self.primary_metric = facts.primary_metric
        self.default_model = facts.default_model

    def augmentation_plans(self, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the plans of all styles that the models use: style to serialised plan.

        Args:
            models: names of the models that the job trains to hyper-parameters, resolved.
        """
        plans: dict[str, Any] = {}
        for model_name, values in models.items():
            style = self.augmentation_style(model_name, values)
            plans.setdefault(style, augmentation_plan(style, values["advanced_settings"]).as_dict())
        return plans

    def augmentation_style(self, model_name: str, values: Mapping[str, Any]) -> Style:
        """Return the style of augmentation for a model with some hyper-parameters."""
        return catalogue.find(self.name, model_name).augmentation_style

    def augmentation_preview(self, rows: Sequence[Row], plans: Mapping[str, Any], seed: int) -> Image.Image:
        """Return a grid of augmented samples with their labels drawn for each style, below one another."""
        return _below_one_another(
            [self.preview_of_plan(rows, AugmentationPlan.from_dict(plan), seed) for plan in plans.values()]
        )

    @abc.abstractmethod
    def preview_of_plan(self, rows: Sequence[Row], plan: AugmentationPlan, seed: int) -> Image.Image:
        """Return a grid of augmented samples with their labels drawn."""

    @abc.abstractmethod
    def learner(
        self, request: TrialRequest, training: Sequence[Row], validation: Sequence[Row]
    ) -> tuple[Learner, WeightsInfo]:
        """Return what the trainer trains, and where its weights come from."""

    def trained_model(self, request: TrialRequest, state: Mapping[str, Any], about: Mapping[str, Any]) -> TrainedModel:
        """Return the network of a trial as plain values; `about` joins its settings."""
        model = self._unfilled(request.model_name, request.classes, request.hyperparameters)
        settings = {
            "task": self.name,
            "model_name": request.model_name,
            "classes": list(request.classes),
            "hyperparameters": request.hyperparameters,
            "preprocessing": model.preprocessing.as_dict(),
            **about,
        }
        return TrainedModel(settings, list(model.export_spec().labels), dict(state))

    def _restored(self, model: TrainedModel) -> Network:
        """Return the network of a trained model, in eval mode."""
        settings = model.settings
        network = self._unfilled(settings["model_name"], settings["classes"], settings["hyperparameters"])
        network.load_state_dict(model.state)
        return network.eval()

    def _unfilled(self, model_name: str, classes: Sequence[str], hyperparameters: Mapping[str, Any]) -> Network:
        return catalogue.build_model(self.name, model_name, classes, hyperparameters, weights=None).model

    @abc.abstractmethod
    def export(self, model: TrainedModel) -> bytes:
        """Return the network as an ONNX file with everything needed to use it inside."""

    @abc.abstractmethod
    def parity(
        self, model: TrainedModel, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the comparison of torch and onnxruntime on some rows; `passed` is the verdict."""

    @abc.abstractmethod
    def predict(self, onnx_model: bytes, rows: Sequence[Row], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one scoring response a row, with `filename` (the row's image) added."""

    def mask_pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], model: TrainedModel
    ) -> Iterable[MaskPictures]:
        """Return the masks of each image as pictures where the model's `export_as_image` asks for them."""
        return ()

    @abc.abstractmethod
    def evaluate(
        self,
        predictions: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the flat metrics and the full evaluation (tables, curves, the interval of the primary metric)."""

    @abc.abstractmethod
    def difference(
        self,
        challenger: Sequence[Mapping[str, Any]],
        default: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        model: TrainedModel,
        options: Mapping[str, Any],
        confidence: float,
    ) -> Difference:
        """Return by how much the primary metric of one model is above another's, by a paired bootstrap over images.

        Args:
            challenger, default: predictions of the two models.
            rows: the images.
            model: whose classes and thresholds hold for both, so that they are measured alike.
            options: as of `evaluate`.
            confidence: probability in (0, 1) that the bounds cover.
        """

    def samples(self, rows: Sequence[Row], classes: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
        """Return some annotated images as pictures for the report; those that show another class come first.

        Returns:
            `image` (uint8 RGB array, objects drawn) and `caption` (the classes) of each.
        """
        return [self._sample(row, classes) for row in _varied(rows, self.label_kind, count, seed)]

    @abc.abstractmethod
    def _sample(self, row: Row, classes: Sequence[str]) -> dict[str, Any]:
        """Return `image` and `caption` of an annotated image."""

    @abc.abstractmethod
    def pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], evaluation: Mapping[str, Any], count: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the best and the worst predictions as pictures for the report.

        Returns:
            `best` and `worst`: lists of `image` (uint8 RGB array, predictions and truth drawn) and `caption`.
        """


def _varied(rows: Sequence[Row], kind: str, count: int, seed: int) -> list[Row]:
    """Return rows at random, first those that have a class which none before has."""
    shown: set[str] = set()
    fresh: list[Row] = []
    others: list[Row] = []
    for index in np.random.default_rng(seed).permutation(len(rows)):
        names = set(labels_of(rows[index]["label"], kind))
        (fresh if names - shown else others).append(rows[index])
        shown |= names
    return [*fresh, *others][:count]


def _below_one_another(pages: Sequence[Image.Image]) -> Image.Image:
    if len(pages) == 1:
        return pages[0]
    joined = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white")
    top = 0
    for page in pages:
        joined.paste(page, (0, top))
        top += page.height
    return joined
