"""What is registered, once, and which model is the champion."""

import onnx
import pytest
from onnx import TensorProto, helper

from automl_images.data.splitting import data_hash, split
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import JobStore
from automl_images.pipelines.registration.nodes import DEFINITION, VALIDATION_HASH, _decide, register_model

LINEAGE = {VALIDATION_HASH: "abc", DEFINITION: "VOC, overlap 0.5"}
METRIC = 0.9129661


def champion(**changes):
    return {**LINEAGE, "m": repr(METRIC), "version": "1", **changes}


@pytest.mark.parametrize(
    ("old", "metric", "expected"),
    [
        (None, 0.1, True),
        (champion(), METRIC, True),
        (champion(), METRIC + 1e-9, True),
        (champion(), METRIC - 1e-9, False),
        (champion(**{VALIDATION_HASH: "def"}), 0.99, False),
        (champion(**{DEFINITION: "VOC, overlap 0.3"}), 0.99, False),
        ({"version": "1"}, 0.1, True),
        (champion(version="2"), 0.1, True),
        (champion(version="10"), METRIC, False),
    ],
)
def test_the_champion_moves_only_to_a_model_that_is_not_worse_on_the_same_data(old, metric, expected):
    moved, reason = _decide(old, "2", "m", metric, LINEAGE)
    assert moved is expected
    assert reason


@pytest.fixture
def registration(tmp_path):
    """Return a function that registers a model of a job as the stage does; arguments change what it is given."""
    folder = tmp_path / "best"
    folder.mkdir()
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), folder / "model.onnx")
    jobs = JobStore(tmp_path / "trials")
    tracker = MLflowTracker("sqlite:///mlflow.db", "tests", tmp_path)
    divided = split([{"image_url": f"{i}.png", "label": "a"} for i in range(20)], 0.3, 0, "class")
    for name in ("calm_fox", "keen_crane"):
        job, _ = jobs.open(name, name, {})
        job.run_id = tracker.start_job(name, "image_classification", {}, None)
        job.save()

    def register(job="calm_fox", metric=0.8, sha="0" * 64):
        result = register_model(
            best_trial={"job": job, "trial": 0, "model_name": "resnet18", "primary_metric": "accuracy"},
            split_report=divided.report,
            parity_report={"passed": True},
            manifest={"folder": str(folder), "onnx_sha256": sha},
            metrics={"accuracy": metric},
            evaluation={"definition": "accuracy over images", "interval": {"low": 0.7, "high": 0.9}},
            trials=[0],
            report="<html></html>",
            jobs=jobs,
            tracker=tracker,
            options=JobOptions(task="image_classification", source={"path": "x"}),
        )
        return result, tracker

    return register, divided


def versions(tracker, name):
    return {v.version: v for v in tracker._client.search_model_versions(f"name = '{name}'")}


def test_a_version_says_what_it_came_from(registration):
    register, divided = registration
    result, tracker = register()
    [version] = versions(tracker, result["registered_model"]).values()
    expected = {
        "job": "calm_fox",
        "trial": "0",
        "parity": "passed",
        "data_hash": divided.report["data_hash"],
        "split_hash": data_hash(divided.training, divided.validation),
    }
    assert expected.items() <= version.tags.items()
    assert len({version.tags["data_hash"], version.tags["split_hash"], version.tags["validation_hash"]}) == 3


def test_a_repeated_registration_finds_its_version_and_leaves_the_champion(registration):
    register, _ = registration
    first, tracker = register()
    name = first["registered_model"]
    again, _ = register()
    assert (first["version"], first["registered_before"], first["champion"]) == ("1", False, True)
    assert (again["version"], again["registered_before"], again["champion"]) == ("1", True, True)
    assert {**first, "registered_before": True, "reason": again["reason"]} == again
    assert len(versions(tracker, name)) == 1
    second, _ = register(job="keen_crane")
    assert (second["version"], second["champion"], tracker.champion(name)["version"]) == ("2", True, "2")
    late, _ = register()
    assert (late["version"], late["champion"], late["champion_version"]) == ("1", False, "2")
    assert tracker.champion(name)["version"] == "2"
    other_graph, _ = register(sha="1" * 64)
    assert other_graph["version"] == "3"


def test_a_run_that_died_before_it_moved_the_champion_moves_it_when_repeated(registration):
    register, _ = registration
    first, tracker = register()
    name = first["registered_model"]
    tracker._client.delete_registered_model_alias(name, "champion")
    again, _ = register()
    assert again["champion"]
    assert tracker.champion(name)["version"] == "1"
