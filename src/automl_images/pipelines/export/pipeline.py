"""The stage export: the best model becomes an ONNX model that is proved equal to it."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.export.nodes import compare_with_torch, export_model, seal_model


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                export_model,
                inputs={
                    "best_model": "best_model",
                    "options": "params:options",
                },
                outputs="onnx_model",
                name="export_model",
            ),
            Node(
                compare_with_torch,
                inputs={
                    "best_model": "best_model",
                    "onnx_model": "onnx_model",
                    "validation_data": "validation_data",
                    "options": "params:options",
                },
                outputs="parity_report",
                name="compare_with_torch",
            ),
            Node(
                seal_model,
                inputs={
                    "onnx_model": "onnx_model",
                    "parity_report": "parity_report",
                    "best_trial": "best_trial",
                },
                outputs="manifest",
                name="seal_model",
            ),
        ]
    )
