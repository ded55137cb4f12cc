"""The networks of the catalogue, one file a task family; importing this package registers them all."""

from automl_images.models.entries import classification, detection, hub, mmd, segmentation
from automl_images.models.entries.entry import MODELS, ModelEntry

__all__ = ["MODELS", "ModelEntry", "classification", "detection", "hub", "mmd", "segmentation"]
