"""Annotations of any format become validated rows."""

from automl_images.pipelines.data_conversion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
