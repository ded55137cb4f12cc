"""The stage data_conversion: annotations of any format become validated rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.data_conversion.nodes import convert_annotations


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                convert_annotations,
                inputs={
                    "options": "params:options",
                },
                outputs=["annotations", "validation_annotations", "conversion_report"],
                name="convert_annotations",
            ),
        ]
    )
