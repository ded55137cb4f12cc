"""The stage augmentation: options become an augmentation plan and a picture of what it does."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.augmentation.nodes import plan_augmentation, preview_augmentation


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                plan_augmentation,
                inputs={
                    "options": "params:options",
                    "portfolio": "params:portfolio",
                },
                outputs="augmentation_plan",
                name="plan_augmentation",
            ),
            Node(
                preview_augmentation,
                inputs={
                    "training_data": "training_data",
                    "augmentation_plan": "augmentation_plan",
                    "options": "params:options",
                },
                outputs="augmentation_preview",
                name="preview_augmentation",
            ),
        ]
    )
