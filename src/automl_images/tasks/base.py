"""The contract between a task and everything else: what a stage asks, an adapter answers.

A new task is one adapter, its facts (`facts.py`) and one parameters file; no other room compares task names.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from automl_images.core.types import Row
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

    @abc.abstractmethod
    def augmentation_plans(self, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the plans of all styles that the models use: style to serialised plan.

        Args:
            models: names of the models that the job trains to hyper-parameters, resolved.
        """

    @abc.abstractmethod
    def augmentation_preview(self, rows: Sequence[Row], plans: Mapping[str, Any], seed: int) -> Image.Image:
        """Return a grid of augmented samples with their labels drawn."""

    @abc.abstractmethod
    def learner(
        self, request: TrialRequest, training: Sequence[Row], validation: Sequence[Row]
    ) -> tuple[Learner, WeightsInfo]:
        """Return what the trainer trains, and where its weights come from."""

    @abc.abstractmethod
    def trained_model(self, request: TrialRequest, state: Mapping[str, Any], about: Mapping[str, Any]) -> TrainedModel:
        """Return the network of a trial as plain values; `about` joins its settings."""

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
    def pictures(
        self, predictions: Sequence[Mapping[str, Any]], rows: Sequence[Row], evaluation: Mapping[str, Any], count: int
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the best and the worst predictions as pictures for the report.

        Returns:
            `best` and `worst`: lists of `image` (uint8 RGB array, predictions and truth drawn) and `caption`.
        """
