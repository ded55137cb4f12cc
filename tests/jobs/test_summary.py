"""The words a run ends with."""

import pytest
from kedro.io import DataCatalog

from automl_images.datasets.files import TextDataset
from automl_images.datasets.model import OnnxDataset
from automl_images.jobs.summary import closing_words

RESULT = {
    "job": "calm_fox",
    "trials": 3,
    "model_name": "yolov5",
    "trial": 0,
    "primary_metric": "mean_average_precision",
    "metric": 0.5,
    "interval": [0.4, 0.6],
    "registered_model": "m",
    "version": "1",
    "registered_before": False,
    "champion": True,
}
KEPT = "Trial 0 (yolov5), the default recipe, is kept: trial 2 (x) is not surely better."


@pytest.mark.parametrize("comparison", [{"kept": "default", "sentence": KEPT}, None])
def test_they_say_when_the_default_recipe_was_kept(tmp_path, comparison):
    catalog = DataCatalog(
        {
            "t.report": TextDataset(filepath=str(tmp_path / "report.html")),
            "t.onnx_model": OnnxDataset(filepath=str(tmp_path / "best/model.onnx")),
        }
    )
    text = closing_words("t", {**RESULT, "comparison": comparison}, catalog, 90.0)
    assert "yolov5 (trial 0): mean_average_precision 0.5000 (95 % interval 0.400 to 0.600)" in text
    assert str(tmp_path / "report.html") in text
    assert (KEPT in text) == (comparison is not None)
