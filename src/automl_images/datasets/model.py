"""The folder of the best model, written in three steps: weights, ONNX graph, manifest.

The manifest is written last and seals the folder; saving new weights breaks the seal first, so that an interrupted run
never leaves a folder that claims to be whole.
"""

from __future__ import annotations

from typing import Any

from automl_images.core.files import read_json, write_bytes, write_json
from automl_images.datasets.base import PathDataset
from automl_images.export.package import read_weights, write_weights
from automl_images.inference.model_folder import MANIFEST_FILE, MODEL_FILE, seal_folder, verify_model_folder
from automl_images.models.trained import TrainedModel

SETTINGS_FILE, LABELS_FILE = "settings.json", "labels.json"


class ModelDataset(PathDataset):
    """`model.safetensors`, `settings.json` and `labels.json` of a model folder."""

    def load(self) -> TrainedModel:
        """Read settings, labels and tensors."""
        folder = self._filepath
        return TrainedModel(read_json(folder / SETTINGS_FILE), read_json(folder / LABELS_FILE), read_weights(folder))

    def save(self, data: TrainedModel) -> None:
        """Write settings, labels and tensors; the graph and manifest of an earlier model are removed."""
        folder = self._filepath
        for stale in (MANIFEST_FILE, MODEL_FILE):
            (folder / stale).unlink(missing_ok=True)
        write_weights(folder, data.state)
        write_json(folder / LABELS_FILE, data.labels)
        write_json(folder / SETTINGS_FILE, data.settings)

    def _exists(self) -> bool:
        return (self._filepath / SETTINGS_FILE).is_file()


class OnnxDataset(PathDataset):
    """An ONNX file as bytes."""

    def load(self) -> bytes:
        """Read the file."""
        return self._filepath.read_bytes()

    def save(self, data: bytes) -> None:
        """Write the file atomically; a manifest beside it no longer holds and is removed first."""
        (self._filepath.parent / MANIFEST_FILE).unlink(missing_ok=True)
        write_bytes(self._filepath, data)


class ManifestDataset(PathDataset):
    """`manifest.json`: what the model folder holds, sealed with the SHA-256 of every file."""

    def load(self) -> dict[str, Any]:
        """Check every file of the folder and return the manifest, with the folder's path under `folder`."""
        folder = self._filepath.parent
        verify_model_folder(folder)
        return {**read_json(self._filepath), "folder": str(folder.absolute())}

    def save(self, data: dict[str, Any]) -> None:
        """Seal the folder: hash its files and write the manifest with `data` beside the hashes."""
        seal_folder(self._filepath.parent, data)
