"""Each task beside detection, whose own file goes deeper: the whole pipeline on the sample with one tiny epoch."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from automl_images.data.images import read_image
from automl_images.data.mltable import read_table
from automl_images.inference.load import load_predictor
from automl_images.tasks import TASKS

ROOT = Path(__file__).parents[2]
CLASSES = ["can", "carton", "milk_bottle", "water_bottle"]
MORE = {
    "image_classification": {"weighted_loss": 2, "label_smoothing": 0.1},
    "image_classification_multilabel": {"mixup": 0.2, "soup": 2},
    "instance_segmentation": {"export_as_image": True, "image_type": "png", "box_score_threshold": 0.05},
}


@pytest.fixture(scope="module", params=sorted(MORE))
def finished(request, tmp_path_factory):
    task, root = request.param, tmp_path_factory.mktemp("run")
    given = {f"{task}.training_parameters.{name}": value for name, value in MORE[task].items()}
    params = ",".join(f"{key}={value}" for key, value in {"data_root": root, **given}.items())
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={task}", "--env", "test", "--params", params]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return task, root, result.stdout


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_everything_is_where_the_design_promises(finished):
    task, root, output = finished
    metric = TASKS.get(task).primary_metric
    reports = root / "08_reporting" / task
    metrics = read(reports / "metrics.json")
    assert 0 <= metrics[metric] <= 1
    assert f"{metric} {metrics[metric]:.4f}" in output
    assert read(reports / "parity.json")["passed"] is True
    assert "<html" in (reports / "report.html").read_text(encoding="utf-8")
    assert (root / "04_feature" / task / "augmentation_preview.png").stat().st_size > 0
    with (root / "07_model_output" / task / "trials.csv").open(newline="") as stream:
        [trial] = csv.DictReader(stream)
    assert (trial["status"], trial["epochs"]) == ("Completed", "1")
    labels = read(root / "06_models" / task / "best" / "labels.json")
    assert labels == (["--bg--", *CLASSES] if task == "instance_segmentation" else CLASSES)


def test_the_model_gives_again_what_the_run_predicted(finished):
    task, root, _ = finished
    rows = read_table(root / "03_primary" / task / "validation-mltable").rows
    lines = (root / "07_model_output" / task / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(rows)
    first = json.loads(lines[0])
    predictor = load_predictor(root / "06_models" / task / "best", threads=1)
    image = read_image(rows[0]["image_url"])
    if task == "instance_segmentation":
        [found] = predictor.predict([image], score_threshold=0.01)
        scores = [box["score"] for box in first["boxes"]]
        assert scores  # an untrained network is sure of nothing and finds something everywhere
        assert all(box["polygon"] for box in first["boxes"])
        assert found.masks.shape == (len(found), *image.shape[:2])
        apart = np.abs(np.subtract.outer(scores, found.scores)).min(axis=1)  # objects without a mask are in no response
        assert apart.max() < 1e-4
    else:
        assert first["labels"] == CLASSES
        np.testing.assert_allclose(predictor.predict([image])[0], first["probs"], atol=1e-5)


SCORE = """
import base64, json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
content = open(sys.argv[3], "rb").read()
cells = [content, base64.encodebytes(content)]
print(model.predict(pd.DataFrame(cells, columns=["image"])).to_json(orient="records"))
print([name for name in ("torch", "kedro", "optuna") if name in sys.modules])
print(sys.modules["automl_images"].__file__)
"""


def test_the_registered_model_answers_as_azures_does(finished, tmp_path):
    """As in Azure's notebooks, in a process that knows nothing of the project, from the copy of the code in the model."""
    task, root, _ = finished
    lines = (root / "07_model_output" / task / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    expected = json.loads(lines[0])
    model = f"models:/{read(root / '06_models' / task / 'registered_model.json')['registered_model']}@champion"
    command = [sys.executable, "-c", SCORE, f"sqlite:///{root}/mlflow.db", model, expected["filename"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, answer, heavy, code = done.stdout.splitlines()
    first, second = json.loads(answer)
    assert first == second  # bytes and base64 of the same image
    if task == "instance_segmentation":
        above = [box for box in expected["boxes"] if box["score"] > MORE[task]["box_score_threshold"]]
        assert [box["box"] for box in first["boxes"]] == [box["box"] for box in above]
        assert all(set(box) == {"box", "label", "score", "polygon"} for box in first["boxes"])
    else:
        assert first == {"probs": expected["probs"], "labels": expected["labels"]}
    assert heavy == "[]"
    assert "/code/automl_images/" in code


def test_masks_are_exported_as_pictures_where_that_is_asked_for(finished):
    task, root, _ = finished
    pictures = list((root / "07_model_output" / task / "mask_pictures").rglob("*.png"))
    assert bool(pictures) == (task == "instance_segmentation")
