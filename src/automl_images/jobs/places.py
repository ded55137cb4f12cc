"""Whether the results of a run can be written where they belong, found out before the run reads anything."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from automl_images.core.errors import SettingsError
from automl_images.sweep.storage import checked_url

STUDY_STORAGE = "params:study_storage"


def check_places(pipeline: Pipeline, catalog: DataCatalog, store: Path | None) -> None:
    """Write an unnamed file where each result will lie, or in the nearest folder above that exists.

    Of a database for studies only the address is checked, without a connection.

    Args:
        pipeline: whose outputs are looked at.
        catalog: says where they lie.
        store: file of the tracking store, if it is one.

    Raises:
        SettingsError: a place cannot be written, or `study_storage` is no address of a database.
    """
    storage = catalog[STUDY_STORAGE].load() if STUDY_STORAGE in catalog else None
    if storage not in (None, ""):
        checked_url(storage)
    described = (catalog[name]._describe() for name in sorted(pipeline.all_outputs()))
    paths = [Path(str(entry["filepath"])) for entry in described if "filepath" in entry]
    advice = "make it writable, or name another folder with --params data_root=DIR"
    wanted = dict.fromkeys((path.parent for path in paths), advice)
    if store:
        wanted.setdefault(
            store.parent, "make it writable, or name another mlflow_tracking_uri in conf/local/mlflow.yml"
        )
    tried: set[Path] = set()
    for place, what_to_do in wanted.items():
        folder = next(folder for folder in (place, *place.parents) if folder.exists())
        if folder not in tried:
            _try(folder, place, what_to_do)
        tried.add(folder)


def _try(folder: Path, place: Path, advice: str) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            f"Nothing can be written in {folder} ({reason}), where {place} belongs: {advice}."
        ) from error
