"""The stage sweep: configurations become trained trials and a leaderboard."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.sweep.nodes import plot_learning_curves, plot_sweep, run_trials


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
                    "study_storage": "params:study_storage",
                    "portfolio": "params:portfolio",
                },
                outputs=["trials", "curves"],
                name="run_trials",
            ),
            Node(
                plot_learning_curves,
                inputs={
                    "curves": "curves",
                    "trials": "trials",
                    "options": "params:options",
                },
                outputs="learning_curves",
                name="plot_learning_curves",
            ),
            Node(
                plot_sweep,
                inputs={
                    "trials": "trials",
                    "learning_curves": "learning_curves",
                    "options": "params:options",
                },
                outputs={
                    "parallel_coordinates": "sweep_parallel_coordinates",
                    "scatter": "sweep_scatter",
                    "scatter_3d": "sweep_scatter_3d",
                    "importance": "sweep_importance",
                    "effort": "sweep_effort",
                    "page": "sweep_page",
                },
                name="plot_sweep",
            ),
        ]
    )
