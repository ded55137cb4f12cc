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

JUDGED = ("predictions", "validation_data", "best_model")


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                predict_validation_data,
                inputs=_inputs("onnx_model", "manifest", "validation_data"),
                outputs="predictions",
                name="predict_validation_data",
            ),
            Node(draw_masks, inputs=_inputs(*JUDGED), outputs="mask_pictures", name="draw_masks"),
            Node(
                evaluate_predictions,
                inputs=_inputs(*JUDGED),
                outputs=["metrics", "evaluation"],
                name="evaluate_predictions",
            ),
            Node(plot_evaluation, inputs="evaluation", outputs="evaluation_curves", name="plot_evaluation"),
            Node(
                write_report,
                inputs=_inputs(
                    *("conversion_report", "split_report", "training_data", "validation_data"),
                    *("augmentation_preview", "trials", "curves", "best_trial", "best_model", "parity_report"),
                    *("predictions", "metrics", "evaluation"),
                ),
                outputs="report",
                name="write_report",
            ),
        ]
    )


def _inputs(*datasets: str) -> dict[str, str]:
    """Return a node's inputs: each dataset to the argument of its name, and the options."""
    return {**{name: name for name in datasets}, "options": "params:options"}
