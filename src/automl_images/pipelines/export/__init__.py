"""The best model becomes an ONNX model that is proved equal to it."""

from automl_images.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
