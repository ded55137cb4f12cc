"""Nodes of the stage evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from PIL import Image

from automl_images.core.types import Table
from automl_images.data.mask_files import MaskPictures
from automl_images.jobs.options import JobOptions
from automl_images.models.trained import TrainedModel

PICTURES, SAMPLES = 6, 8


def predict_validation_data(
    onnx_model: bytes, manifest: dict[str, Any], validation_data: Table, options: JobOptions
) -> list[dict[str, Any]]:
    """Return the ONNX model's response to every validation image; `manifest` says that it may be used."""
    from automl_images.tasks import get_task

    return get_task(options.task).predict(onnx_model, validation_data.rows, options.evaluation.model_dump())


def draw_masks(
    predictions: list[dict[str, Any]], validation_data: Table, best_model: TrainedModel, options: JobOptions
) -> Iterable[MaskPictures]:
    """Return the masks of all validation images as pictures, made when they are written; none unless asked for."""
    from automl_images.tasks import get_task

    return get_task(options.task).mask_pictures(predictions, validation_data.rows, best_model)


def evaluate_predictions(
    predictions: list[dict[str, Any]], validation_data: Table, best_model: TrainedModel, options: JobOptions
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the flat metrics, and the evaluation with tables and curves."""
    from automl_images.tasks import get_task

    settings = options.evaluation.model_dump()
    return get_task(options.task).evaluate(predictions, validation_data.rows, best_model, settings)


def plot_evaluation(evaluation: dict[str, Any]) -> Any:
    """Return every curve of the evaluation, such as precision over recall of all classes, as a Plotly figure."""
    from automl_images.reporting.charts import evaluation_curves

    return evaluation_curves(evaluation)


def write_report(
    options: JobOptions,
    conversion_report: dict[str, Any],
    split_report: dict[str, Any],
    training_data: Table,
    validation_data: Table,
    augmentation_preview: Image.Image,
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    best_trial: dict[str, Any],
    best_model: TrainedModel,
    parity_report: dict[str, Any],
    predictions: list[dict[str, Any]],
    metrics: dict[str, float],
    evaluation: dict[str, Any],
) -> str:
    """Return the report as one self-contained page."""
    from automl_images.reporting.report import ReportContent, render_report
    from automl_images.tasks import get_task

    task = get_task(options.task)
    return render_report(
        ReportContent(
            task=options.task,
            options=options.model_dump(mode="json", exclude_defaults=True),
            conversion=conversion_report,
            split=split_report,
            samples=task.samples(training_data.rows, best_model.settings["classes"], SAMPLES, options.random_seed),
            augmentation_preview=augmentation_preview,
            trials=trials,
            curves=curves,
            best_trial=best_trial,
            settings=best_model.settings,
            parity=parity_report,
            metrics=metrics,
            evaluation=evaluation,
            pictures=task.pictures(predictions, validation_data.rows, evaluation, PICTURES),
        )
    )
