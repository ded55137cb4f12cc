"""Nodes of the stage export."""

from __future__ import annotations

import logging
from typing import Any

from automl_images.core.types import Table
from automl_images.jobs.options import JobOptions
from automl_images.models.trained import TrainedModel

LOG = logging.getLogger(__name__)


def export_model(best_model: TrainedModel, options: JobOptions) -> bytes:
    """Return the best model as ONNX file."""
    from automl_images.tasks import get_task

    LOG.info("Export: writing the ONNX graph (about half a minute)")
    return get_task(options.task).export(best_model)


def compare_with_torch(
    best_model: TrainedModel, onnx_model: bytes, validation_data: Table, options: JobOptions
) -> dict[str, Any]:
    """Return the comparison of the trained network and the ONNX model on validation images."""
    from automl_images.tasks import get_task

    settings = options.export.model_dump()
    return get_task(options.task).parity(best_model, onnx_model, validation_data.rows, settings)


def seal_model(onnx_model: bytes, parity_report: dict[str, Any], best_trial: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest says about the model, once the parity gate is passed.

    Raises:
        ParityError: the ONNX model gives other results than the trained network.
    """
    import hashlib

    from automl_images.export.parity_report import require_parity

    require_parity(parity_report)
    LOG.info("Export: the ONNX model gives the results of torch")
    return {"best_trial": best_trial, "onnx_sha256": hashlib.sha256(onnx_model).hexdigest(), "parity_passed": True}
