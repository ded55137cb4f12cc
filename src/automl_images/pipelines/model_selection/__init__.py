"""The leaderboard becomes the best trial's model."""

from automl_images.pipelines.model_selection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
