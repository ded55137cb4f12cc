"""Content of reports for tests: measured by the real evaluation on predictions made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from automl_images.core.types import Detections, Finding, Objects
from automl_images.evaluation.bootstrap import mean_average_precision_interval
from automl_images.evaluation.classification import evaluate_classification
from automl_images.evaluation.detection import evaluate_detections
from automl_images.reporting.report import ReportContent

METRIC = "mean_average_precision"


def evaluation(classes: list[str]) -> dict[str, Any]:
    """Two images: `classes[0]` is found in both, the one `classes[1]` is taken for `classes[0]` with score 0.9."""
    box = np.array([[0, 0, 10, 10]], np.float32)
    both = np.array([[0, 0, 10, 10], [20, 20, 40, 40]], np.float32)
    truths = [
        Objects(both, np.array([0, 1]), np.zeros(2, bool)),
        Objects(box, np.array([0]), np.zeros(1, bool)),
    ]
    found = [
        Detections(both, np.array([0, 0]), np.array([0.95, 0.9], np.float32)),
        Detections(box, np.array([0]), np.array([0.8], np.float32)),
    ]
    result = evaluate_detections(found, truths, classes)
    return {**result.as_dict(), "interval": mean_average_precision_interval(result.matches).as_dict()}


def classified(classes: list[str], multilabel: bool = False) -> dict[str, Any]:
    """Eight images, two of each of the first four classes: those of `classes[2]` are taken for `classes[0]`."""
    labels = np.arange(8) % 4
    probabilities = np.full((8, len(classes)), 0.02, np.float32)
    probabilities[np.arange(8), np.where(labels == 2, 0, labels)] = 0.7
    probabilities[labels == 2, 2] = 0.2
    truth = np.eye(len(classes), dtype=bool)[labels] if multilabel else labels
    result = evaluate_classification(probabilities, truth, classes, multilabel=multilabel).as_dict()
    return {**result, "interval": {"low": 0.5, "high": 0.95, "confidence": 0.95, "samples": 200}}


def curves() -> pd.DataFrame:
    """Trial 0 reaches 0.4, trial 1 reaches 0.7 and has a validation loss."""
    rows = [(t, "yolov5", e, METRIC, v) for t, vs in enumerate([(0.2, 0.4), (0.3, 0.7)]) for e, v in enumerate(vs, 1)]
    rows += [(t, "yolov5", e, "log_loss_train", 2.0 / e + t) for t in (0, 1) for e in (1, 2)]
    rows += [(1, "yolov5", 2, "log_loss", 1.5), (1, "yolov5", 2, "learning_rate", 0.01)]
    return pd.DataFrame(rows, columns=["trial", "model_name", "epoch", "metric", "value"])


def trials() -> pd.DataFrame:
    """Trials 0 and 1 completed, trial 2 failed; they differ by learning rate."""
    shared = {"job": "calm_fox", "model_name": "yolov5", "epochs": 2, "best_epoch": 2, "seconds": 60.0}
    rows = [
        {**shared, "trial": 0, "status": "Completed", METRIC: 0.4, "learning_rate": 0.01, "ema": True, "note": ""},
        {**shared, "trial": 1, "status": "Completed", METRIC: 0.7, "learning_rate": 0.02, "ema": True, "note": ""},
        {**shared, "trial": 2, "status": "Failed", METRIC: None, "learning_rate": 0.5, "ema": True, "note": "diverged"},
    ]
    return pd.DataFrame(rows).assign(folder="/some/folder")


def content(classes: list[str] | None = None, **changes: Any) -> ReportContent:
    """Return a complete content; `changes` replace fields."""
    classes = classes or ["can", "milk_bottle"]
    measured = evaluation(classes)
    picture = np.full((40, 60, 3), 200, np.uint8)
    finding = Finding("BOX_CLIPPED", "warning", f"{classes[0]} sticks out", "/home/u/a/b.json", "clipped box", item="7")
    counts = {"images": 10, "objects": 12}
    side = {
        "summary": {
            "format": "coco",
            "kind": "boxes",
            **counts,
            "empty_images": 1,
            "classes": dict.fromkeys(classes, counts),
        },
        "findings": [finding.as_dict()] * 5,
    }
    both = dict.fromkeys(("training_images", "validation_images", "training_objects", "validation_objects"), 3)
    fields: dict[str, Any] = {
        "task": "object_detection",
        "options": {"task": "object_detection", "source": {"path": "data/a.json"}, "limits": {"max_trials": 3}},
        "conversion": {"training": side, "validation": None},
        "split": {
            "training": {"images": 8, "hash": "aa11"},
            "validation": {"images": 2, "hash": "bb22"},
            "data_hash": "ee55",
            "classes": {name: {**both, "validation_share": 0.5} for name in classes},
            "notes": [],
        },
        "samples": [{"image": picture, "caption": f"2 {classes[0]}"}],
        "augmentation_preview": Image.new("RGB", (3000, 900), "navy"),
        "trials": trials(),
        "curves": curves(),
        "best_trial": {
            "job": "calm_fox",
            "trial": 1,
            "model_name": "yolov5",
            "primary_metric": METRIC,
            "best_epoch": 2,
            "epochs": 2,
        },
        "settings": {
            "classes": classes,
            "split_hash": "cc33",
            "hyperparameters": {"learning_rate": 0.02, "random_seed": 17},
            "weights": {"source": "package:lite0.pth", "sha256": "dd44", "licence": "Apache-2.0", "pretrained": True},
        },
        "parity": {"passed": True, "reference_metric": 0.7, "candidate_metric": 0.7, "cases": []},
        "metrics": measured["metrics"],
        "evaluation": measured,
        "pictures": {"best": [{"image": picture, "caption": classes[0]}], "worst": []},
    }
    return ReportContent(**{**fields, **changes})


@pytest.fixture
def make_content():
    return content


@pytest.fixture
def measured():
    return evaluation(["can", "milk_bottle"])


@pytest.fixture
def two_trials():
    return curves()


@pytest.fixture
def leaderboard_table():
    return trials()


@pytest.fixture
def classify():
    return classified


@pytest.fixture
def make_classification():
    """Return a maker of the content of a report on classification, of one or any number of classes an image."""

    def make(multilabel: bool = False) -> ReportContent:
        classes, primary = ["can", "carton", "cup", "jar"], "iou" if multilabel else "accuracy"
        base, measured = content(classes), classified(classes, multilabel)
        summary = {**base.conversion["training"]["summary"], "kind": "classes" if multilabel else "class"}
        case = {"name": "in batches", "images": 8, "detections": 32, "passed": True, "largest_score_difference": 2e-7}
        return dataclasses.replace(
            base,
            task="image_classification",
            conversion={"training": {"summary": summary, "findings": []}, "validation": None},
            trials=base.trials.rename(columns={METRIC: primary}),
            curves=base.curves.replace(METRIC, primary),
            best_trial={**base.best_trial, "primary_metric": primary},
            parity={**base.parity, "cases": [{**case, "largest_box_difference": None}]},
            metrics=measured["metrics"],
            evaluation=measured,
        )

    return make
