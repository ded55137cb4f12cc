"""The project as Kedro sees it: names, datasets, parameters, start-up."""

import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import CachedDataset, DataCatalog, MemoryDataset

from automl_images.core.errors import SettingsError
from automl_images.hooks import check_parameters
from automl_images.jobs.options import JobOptions, parse_job_options
from automl_images.pipeline_registry import STAGES, register_pipelines
from automl_images.tasks import TASKS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pipelines():
    return register_pipelines()


@pytest.fixture
def parameters():
    return OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")["parameters"]


def test_kedro_yml_and_pyproject_state_the_same_facts():
    marker = yaml.safe_load((ROOT / ".kedro.yml").read_text())
    kedro = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["kedro"]
    assert marker["package_name"] == kedro["package_name"]
    assert marker["project_name"] == kedro["project_name"]
    assert marker["project_version"] == kedro["kedro_init_version"]


def test_every_stage_of_every_task_is_there(pipelines):
    for task in TASKS:
        namespaces = [node.namespace.split(".")[0] for node in pipelines[task].nodes]
        assert set(namespaces) == set(STAGES)
        assert all(node.namespace.split(".")[1] == task for node in pipelines[task].nodes)


def test_every_output_is_persisted_and_every_input_known(pipelines):
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), base_env="base", default_run_env="base", runtime_params={"data_root": "data"}
    )
    catalog = DataCatalog.from_config(loader["catalog"])
    for task in TASKS:
        pipeline = pipelines[task]
        for name in pipeline.all_outputs() | {f"{task}.jobs"}:
            assert not isinstance(catalog[name], MemoryDataset | CachedDataset), name
        free = {name for name in pipeline.inputs() if not name.startswith("params:")}
        assert free == {f"{task}.jobs", "tracker"}


def test_every_node_tells_kedro_its_types(pipelines):
    for node in pipelines["object_detection"].nodes:
        hints = typing.get_type_hints(node.func)
        assert hints.get("options", JobOptions) is JobOptions, node.name


def test_importing_the_registry_imports_no_heavy_library():
    code = (
        "import sys, automl_images.pipeline_registry as r; r.register_pipelines();"
        "heavy = {'torch', 'torchvision', 'timm', 'mlflow', 'ray', 'transformers', 'onnxruntime', 'plotly'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(("given", "expected"), [({}, "data"), ({"data_root": "/some/root"}, "/some/root")])
def test_the_environment_test_has_a_store_of_its_own(given, expected):
    base, test = (
        OmegaConfigLoader(
            str(ROOT / "conf"),
            base_env="base",
            default_run_env=environment,
            runtime_params=given,
            config_patterns={"mlflow": ["mlflow*"]},
        )["mlflow"]["server"]["mlflow_tracking_uri"]
        for environment in ("base", "test")
    )
    assert test == f"sqlite:///{expected}/mlflow.db"
    assert test != base


def test_the_committed_parameters_are_valid(parameters):
    assert check_parameters(parameters) is None


def test_the_base_says_what_the_options_default_to(parameters):
    """The report's command to reproduce leaves defaults out, and a user's path must not keep the sample's images."""
    options = parse_job_options("object_detection", parameters["object_detection"])
    given = options.model_dump(exclude_defaults=True)
    assert set(given) == {"task", "source", "validation_data_size", "primary_metric", "training_parameters"}
    assert set(given["source"]) == {"path"}
    assert options.holdout == JobOptions(task="t", source={"path": "x"}).holdout


def test_the_names_of_a_job_file_are_understood(parameters):
    block = {
        **parameters["object_detection"],
        "task": "image_object_detection",
        "training_data": {"path": "t", "type": "mltable"},
    }
    options = parse_job_options("object_detection", block)
    assert options.task == "object_detection"
    assert (options.training_source.format, str(options.training_source.path)) == ("mltable", "t")


@pytest.mark.parametrize("name", ["validation_size", "split_ratio"])
@pytest.mark.parametrize("place", [(), ("training_parameters",)])
def test_older_names_of_the_holdout_are_understood(parameters, name, place):
    block = parameters["object_detection"]
    inner = block[place[0]] if place else block
    inner[name] = 0.3
    options = parse_job_options("object_detection", block)
    assert options.holdout == 0.3
    assert options.training_parameters == {"model_name": "fasterrcnn_efficientnet_lite0_fpn"}
    block["validation_data_size"] = 0.4
    with pytest.raises(SettingsError, match="given twice"):
        parse_job_options("object_detection", block)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_detection": {"limts": {}}}, "object_detection.limts: there is no such key. Did you mean 'limits'"),
        ({"object_detection": {"limits": {"max_trial": 2}}}, "Did you mean 'max_trials'"),
        (
            {"object_detection": {"limits": {"max_trials": 0}}},
            "object_detection.limits.max_trials: .*greater than or equal to 1",
        ),
        ({"object_detection": {"source": {"formt": "coco"}}}, "object_detection.source.formt: .*Did you mean 'format'"),
        ({"object_detection": {"training_parameters": {"learning_rat": 1}}}, "Did you mean 'learning_rate'"),
        (
            {"object_detection": {"search_space": [{"learning_rate": "unifrm(0, 1)"}]}},
            r"search_space\[0\].learning_rate",
        ),
        ({"object_detectoin": {}}, "Did you mean 'object_detection'"),
        ({"jobname": "x"}, "Did you mean 'job_name'"),
        ({"job_name": "../../evil"}, "job_name must have letters, digits.* got '../../evil'"),
        ({"object_detection": {"primary_metric": "recall"}}, "must be 'mean_average_precision'"),
        (
            {"image_classification": {"primary_metric": "weighted_accuracy"}},
            r"image_classification\.primary_metric must be 'accuracy', got 'weighted_accuracy'",
        ),
    ],
)
def test_mistyped_keys_are_errors_that_name_the_nearest(parameters, change, message):
    for key, value in change.items():
        block = parameters.setdefault(key, {})
        for inner, content in value.items() if isinstance(value, dict) else ():
            block[inner] = {**(block.get(inner) or {}), **content} if isinstance(content, dict) else content
        if not isinstance(value, dict):
            parameters[key] = value
    with pytest.raises(SettingsError, match=message):
        check_parameters(parameters)
