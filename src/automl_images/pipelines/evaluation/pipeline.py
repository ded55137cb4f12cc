"""The stage evaluation: The ONNX model becomes predictions, metrics and a report."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.evaluation.nodes import (
    draw_masks,
    evaluate_predictions,
    plot_evaluation,
    predict_validation_data,
    write_report,
)


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                predict_validation_data,
                inputs={
                    "onnx_model": "onnx_model",
                    "manifest": "manifest",
                    "validation_data": "validation_data",
                    "options": "params:options",
                },
                outputs="predictions",
                name="predict_validation_data",
            ),
            Node(
                draw_masks,
                inputs={
                    "predictions": "predictions",
                    "validation_data": "validation_data",
                    "best_model": "best_model",
                    "options": "params:options",
                },
                outputs="mask_pictures",
                name="draw_masks",
            ),
            Node(
                evaluate_predictions,
                inputs={
                    "predictions": "predictions",
                    "validation_data": "validation_data",
                    "best_model": "best_model",
                    "options": "params:options",
                },
                outputs=["metrics", "evaluation"],
                name="evaluate_predictions",
            ),
            Node(
                plot_evaluation,
                inputs={
                    "evaluation": "evaluation",
                },
                outputs="evaluation_curves",
                name="plot_evaluation",
            ),
            Node(
                write_report,
                inputs={
                    "conversion_report": "conversion_report",
                    "split_report": "split_report",
                    "validation_data": "validation_data",
                    "augmentation_preview": "augmentation_preview",
                    "trials": "trials",
                    "curves": "curves",
                    "best_trial": "best_trial",
                    "best_model": "best_model",
                    "parity_report": "parity_report",
                    "predictions": "predictions",
                    "metrics": "metrics",
                    "evaluation": "evaluation",
                    "options": "params:options",
                },
                outputs="report",
                name="write_report",
            ),
        ]
    )
