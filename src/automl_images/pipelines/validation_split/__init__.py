"""Rows become a training and a validation side."""

from automl_images.pipelines.validation_split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
