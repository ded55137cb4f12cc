"""Options become an augmentation plan and a picture of what it does."""

from automl_images.pipelines.augmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
