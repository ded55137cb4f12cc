"""The stage sweep: configurations become trained trials and a leaderboard."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.sweep.nodes import plot_learning_curves, plot_sweep, run_trials

FIGURES = ("parallel_coordinates", "scatter", "scatter_3d", "importance", "effort", "page")


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                run_trials,
                inputs={
                    **_inputs("training_data", "validation_data", "augmentation_plan", "jobs", "tracker"),
                    **{name: f"params:{name}" for name in ("job_name", "study_storage", "portfolio")},
                },
                outputs=["trials", "curves"],
                name="run_trials",
            ),
            Node(
                plot_learning_curves,
                inputs=_inputs("curves", "trials"),
                outputs="learning_curves",
                name="plot_learning_curves",
            ),
            Node(
                plot_sweep,
                inputs=_inputs("trials", "learning_curves"),
                outputs={figure: f"sweep_{figure}" for figure in FIGURES},
                name="plot_sweep",
            ),
        ]
    )


def _inputs(*datasets: str) -> dict[str, str]:
    """Return a node's inputs: each dataset to the argument of its name, and the options."""
    return {**{name: name for name in datasets}, "options": "params:options"}
