"""The ONNX model becomes predictions, metrics and a report."""

from automl_images.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
