"""The JSON schema of parameters files accepts what a run accepts and marks what is mistyped."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from automl_images.core.hyperparameters import TABLE
from automl_images.jobs.schema import parameters_schema
from automl_images.models.catalogue import names
from automl_images.tasks import TASKS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "conf").glob("*/parameters*.yml"))


@pytest.fixture(scope="module")
def schema():
    return parameters_schema()


def mistakes(schema, parameters):
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(parameters)]


def test_it_is_a_schema_and_the_committed_file_is_current(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads((ROOT / "docs" / "parameters.schema.json").read_text(encoding="utf-8")) == schema


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_committed_parameters_are_valid(schema, file):
    assert mistakes(schema, yaml.safe_load(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("task", list(TASKS))
def test_the_base_of_a_task_names_the_schema_to_editors(task):
    first = (ROOT / "conf" / "base" / f"parameters_{task}.yml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../docs/parameters.schema.json"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_is_there_in_all_spellings_with_its_defaults(schema, row):
    tasks = [task for task in TASKS if any(row.fits(task, name) for name in [*names(task), "a/b"])]
    assert tasks
    values = [row.default, *(value for _, value in row.defaults), *row.choices]
    for task in tasks:
        for spelling in (row.name, *row.aliases):
            for value in values:
                assert mistakes(schema, {task: {"training_parameters": {spelling: value}}}) == []
                assert (
                    mistakes(schema, {task: {"search_space": [{spelling: {"type": "choice", "values": [value]}}]}})
                    == []
                )
    for task in set(TASKS) - set(tasks):
        assert mistakes(schema, {task: {"training_parameters": {row.name: row.default}}})


@pytest.mark.parametrize(
    "block",
    [
        {"task": "image_object_detection", "training_data": {"path": "t", "type": "mltable", "mode": "direct"}},
        {"split_ratio": 0.3, "sweep": None, "search_space": None},
        {"sweep": {"sampling_algorithm": "bayesian", "early_termination": "bandit"}},
        {"sweep": {"sampling_algorithm": {"type": "random", "rule": "sobol"}, "early_termination": None}},
        {"sweep": {"early_termination": {"type": "bandit", "slack_factor": 0.1}}},
        {"search_space": {"model_name": "choice('yolov5')", "learning_rate": "uniform(0.1, 0.2)"}},
        {"training_parameters": {"model_name": "PekingU/rtdetr_r50vd", "tile_grid_size": "3x2"}},
    ],
)
def test_other_forms_that_a_run_takes_are_valid(schema, block):
    assert mistakes(schema, {"object_detection": block}) == []


@pytest.mark.parametrize(
    "block",
    [
        {"limts": {}},
        {"limits": {"max_trials": 0}},
        {"source": {"formt": "coco"}},
        {"training_parameters": {"learning_rat": 0.1}},
        {"training_parameters": {"learning_rate": 2}},
        {"training_parameters": {"tile_overlap_ratio": 1}},
        {"training_parameters": {"optimizer": "sdg"}},
        {"training_parameters": {"model_name": "yolov6"}},
        {"search_space": [{"learning_rate": {"type": "unifrm"}}]},
        {"search_space": [{"learning_rate": "unifrm(0, 1)"}]},
        {"sweep": {"sampling_algorithm": "bayes"}},
        {"sweep": {"early_termination": {"type": "bandit", "slack": 1}}},
    ],
)
def test_mistyped_keys_and_values_are_marked(schema, block):
    assert mistakes(schema, {"object_detection": copy.deepcopy(block)})
