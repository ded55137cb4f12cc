"""The stage validation_split: rows become a training and a validation side."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.validation_split.nodes import split_annotations


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                split_annotations,
                inputs={
                    "annotations": "annotations",
                    "validation_annotations": "validation_annotations",
                    "options": "params:options",
                },
                outputs=["training_data", "validation_data", "split_report"],
                name="split_annotations",
            ),
        ]
    )
