"""Plotly figures as JSON, which kedro-viz shows as charts."""

from __future__ import annotations

from kedro_datasets.plotly import JSONDataset

from automl_images.datasets.files import AtomicSave


class PlotlyDataset(AtomicSave, JSONDataset):
    """A Plotly figure."""
