"""Configurations become trained trials and a leaderboard."""

from automl_images.pipelines.sweep.pipeline import create_pipeline

__all__ = ["create_pipeline"]
