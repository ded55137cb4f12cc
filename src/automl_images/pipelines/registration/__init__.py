"""The checked model becomes a registered version with its lineage."""

from automl_images.pipelines.registration.pipeline import create_pipeline

__all__ = ["create_pipeline"]
