"""The stage sweep: configurations become trained trials and a leaderboard."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.sweep.nodes import plot_learning_curves, run_trials


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                run_trials,
                inputs={
                    "training_data": "training_data",
                    "validation_data": "validation_data",
                    "augmentation_plan": "augmentation_plan",
                    "jobs": "jobs",
                    "tracker": "tracker",
                    "options": "params:options",
                    "job_name": "params:job_name",
                },
                outputs=["trials", "curves"],
                name="run_trials",
            ),
            Node(
                plot_learning_curves,
                inputs={
                    "curves": "curves",
                    "options": "params:options",
                },
                outputs="learning_curves",
                name="plot_learning_curves",
            ),
        ]
    )
