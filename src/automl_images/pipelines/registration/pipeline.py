"""The stage registration: the checked model becomes a registered version with its lineage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from automl_images.pipelines.registration.nodes import register_model


def create_pipeline() -> Pipeline:
    """Return the nodes of the stage."""
    return Pipeline(
        [
            Node(
                register_model,
                inputs={
                    "best_trial": "best_trial",
                    "split_report": "split_report",
                    "parity_report": "parity_report",
                    "manifest": "manifest",
                    "metrics": "metrics",
                    "evaluation": "evaluation",
                    "trials": "trials",
                    "report": "report",
                    "jobs": "jobs",
                    "tracker": "tracker",
                    "options": "params:options",
                },
                outputs="registered_model",
                name="register_model",
            ),
        ]
    )
