import base64
import io
import json

import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from PIL import Image

from automl_images.core.errors import ModelError
from automl_images.core.types import Table
from automl_images.datasets.files import CSVDataset, ImageDataset, JSONDataset, YAMLDataset
from automl_images.datasets.jobs import JobStoreDataset
from automl_images.datasets.mltable import AnnotationsDataset, LinesDataset, MLTableDataset
from automl_images.datasets.model import ManifestDataset, ModelDataset, OnnxDataset
from automl_images.models.trained import TrainedModel


def test_a_failed_save_leaves_the_old_file(tmp_path):
    dataset = JSONDataset(filepath=str(tmp_path / "a.json"))
    dataset.save({"old": 1})
    with pytest.raises(DatasetError):
        dataset.save({"new": object()})
    assert dataset.load() == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_files_come_back_as_saved(tmp_path):
    YAMLDataset(filepath=str(tmp_path / "a.yml")).save({"b": 1, "a": [1, 2]})
    assert YAMLDataset(filepath=str(tmp_path / "a.yml")).load() == {"b": 1, "a": [1, 2]}
    table = pd.DataFrame({"trial": [0, 1], "m": [0.5, None]})
    CSVDataset(filepath=str(tmp_path / "a.csv"), save_args={"index": False}).save(table)
    pd.testing.assert_frame_equal(CSVDataset(filepath=str(tmp_path / "a.csv")).load(), table)


def test_rows_are_relative_on_disk_and_absolute_in_memory(tmp_path):
    rows = [{"image_url": str(tmp_path / "images" / "a.jpg"), "label": [], "image_details": {"width": 3, "height": 2}}]
    for dataset in (
        AnnotationsDataset(filepath=str(tmp_path / "rows" / "annotations.jsonl")),
        MLTableDataset(filepath=str(tmp_path / "table")),
    ):
        assert not dataset.exists()
        dataset.save(Table(rows))
        assert dataset.exists()
        assert dataset.load().rows == rows
    [line] = (tmp_path / "table" / "annotations.jsonl").read_text().splitlines()
    assert json.loads(line)["image_url"] == "../images/a.jpg"


def test_lines_keep_any_text(tmp_path):
    lines = [{"filename": "ä\u2028b.jpg"}, {"boxes": []}]
    dataset = LinesDataset(filepath=str(tmp_path / "p.jsonl"))
    dataset.save(lines)
    assert dataset.load() == lines


def test_a_model_folder_is_sealed_last_and_new_weights_break_the_seal(tmp_path):
    folder = tmp_path / "best"
    weights, graph = ModelDataset(filepath=str(folder)), OnnxDataset(filepath=str(folder / "model.onnx"))
    manifest = ManifestDataset(filepath=str(folder / "manifest.json"))
    model = TrainedModel({"task": "t"}, ["--bg--", "a"], {"w": torch.arange(4.0)})
    weights.save(model)
    graph.save(b"graph")
    manifest.save({"parity_passed": True})
    loaded = weights.load()
    assert (loaded.settings, loaded.labels) == (model.settings, model.labels)
    assert torch.equal(loaded.state["w"], model.state["w"])
    assert manifest.load()["parity_passed"] is True
    (folder / "model.onnx").write_bytes(b"graphs")
    with pytest.raises((ModelError, DatasetError), match=r"model\.onnx was changed"):
        manifest.load()
    weights.save(model)
    assert not manifest.exists()
    assert not graph.exists()


def test_the_job_store_is_opened_and_never_saved(tmp_path):
    dataset = JobStoreDataset(filepath=str(tmp_path / "trials"))
    assert dataset.load().jobs() == []
    with pytest.raises(DatasetError):
        dataset.save({})


def test_a_picture_shows_itself_in_kedro_viz(tmp_path):
    dataset = ImageDataset(filepath=str(tmp_path / "a.png"))
    dataset.save(Image.new("RGB", (1600, 400), "red"))
    shown = Image.open(io.BytesIO(base64.b64decode(dataset.preview())))
    assert shown.size == (800, 200)
    assert shown.getpixel((5, 5)) == (255, 0, 0)
