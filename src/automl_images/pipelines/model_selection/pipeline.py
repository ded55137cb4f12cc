"""The stage model_selection: the leaderboard becomes the best trial's model."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.model_selection.nodes import load_best_model, select_best_trial


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                select_best_trial,
                inputs={
                    "trials": "trials",
                    "validation_data": "validation_data",
                    "jobs": "jobs",
                    "options": "params:options",
                },
                outputs="best_trial",
                name="select_best_trial",
            ),
            Node(
                load_best_model,
                inputs={
                    "best_trial": "best_trial",
                    "jobs": "jobs",
                },
                outputs="best_model",
                name="load_best_model",
            ),
        ]
    )
