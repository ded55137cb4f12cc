"""Opening a model that this project exported, of whatever kind."""

from __future__ import annotations

from pathlib import Path

from automl_images.inference.backend import Backend, OnnxBackend
from automl_images.inference.classification_predictor import ClassificationPredictor
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.metadata import ClassifierMetadata, DetectorMetadata, ModelMetadata
from automl_images.inference.model_folder import MODEL_FILE, read_verified


def load_predictor(
    model: Path | str | bytes, threads: int | None = None
) -> ClassificationPredictor | DetectionPredictor:
    """Open a model.

    Args:
        model: a model folder (`best/`), whose `model.onnx` is checked against `manifest.json`; an ONNX file; or the
            bytes of one.
        threads: CPU threads of an operator; None: all cores.

    Raises:
        ModelError: the folder is incomplete, the file was changed since the export, or it cannot be loaded.
    """
    if not isinstance(model, bytes) and Path(model).is_dir():
        model = read_verified(Path(model), MODEL_FILE)
    backend = OnnxBackend(model, threads)
    return predictor(backend, backend.metadata)


def predictor(backend: Backend, metadata: ModelMetadata) -> ClassificationPredictor | DetectionPredictor:
    """Join a backend with metadata in the predictor that suits them."""
    if isinstance(metadata, ClassifierMetadata):
        return ClassificationPredictor(backend, metadata)
    assert isinstance(metadata, DetectorMetadata)
    return DetectionPredictor(backend, metadata)
