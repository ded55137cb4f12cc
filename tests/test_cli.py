"""The commands of this project, typed as a user types them."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from automl_images.data.mltable import read_table

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "01_raw" / "sample"


def kedro(*arguments):
    command = [sys.executable, "-m", "kedro", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def source(**changes):
    values = {"source": SAMPLE / "coco" / "annotations.json", "images": SAMPLE / "images", **changes}
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def test_check_counts_and_says_usable():
    result = kedro("data", "check", *source(), "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["usable"] is True
    assert report["summary"]["images"] == 128
    assert report["summary"]["classes"]["can"]["objects"] == 119
    assert report["findings"] == []


def test_check_tells_what_is_wrong_where_and_what_a_run_would_do(tmp_path):
    annotations = json.loads((SAMPLE / "coco" / "annotations.json").read_text())
    annotations["annotations"][0]["bbox"] = [10, 10, -5, 5]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(annotations))
    before = bad.read_bytes()
    result = kedro("data", "check", *source(source=bad))
    assert result.returncode == 0, result.stderr
    assert "BOX_INVALID" in result.stdout
    [finding] = json.loads(kedro("data", "check", *source(source=bad), "--json").stdout)["findings"]
    assert finding["file"] == str(bad)
    assert finding["action"] == "dropped box"
    assert finding["item"]
    assert bad.read_bytes() == before
    strict = kedro("data", "check", *source(source=bad), "--strict")
    assert strict.returncode == 1
    assert "strict: the first finding is" in strict.stderr
    assert "Traceback" not in strict.stderr


def test_shared_images_of_two_sources_are_listed():
    result = kedro("data", "check", *source(), "--validation", SAMPLE / "coco" / "annotations.json", "--json")
    assert len(json.loads(result.stdout)["shared_images"]) == 128


def test_convert_writes_a_table_that_can_be_read(tmp_path):
    result = kedro("data", "convert", *source(), "--output", tmp_path / "table")
    assert result.returncode == 0, result.stderr
    table = read_table(tmp_path / "table")
    assert len(table.rows) == 128
    assert all(Path(row["image_url"]).is_file() for row in table.rows)
    assert (tmp_path / "table" / "conversion_report.json").is_file()


def test_convert_never_writes_over_a_users_file(tmp_path):
    own = tmp_path / "annotations.jsonl"
    own.write_text('{"image_url": "a.jpg", "label": []}\n')
    result = kedro("data", "convert", "--format", "jsonl", "--source", own, "--output", tmp_path)
    assert result.returncode in (1, 2)
    assert own.read_text() == '{"image_url": "a.jpg", "label": []}\n'
    other = kedro("data", "convert", *source(), "--output", tmp_path)
    assert other.returncode == 2
    assert "holds files of yours" in other.stderr


def test_the_other_tasks_data_can_be_checked_and_converted(tmp_path):
    folders = kedro(
        "data", "convert", "--task", "image_classification", "--source", SAMPLE / "folders", "--output", tmp_path / "a"
    )
    assert folders.returncode == 0, folders.stderr
    assert {row["label"] for row in read_table(tmp_path / "a").rows} == {"can", "carton", "milk_bottle", "water_bottle"}
    table = [
        *source(source=SAMPLE / "multilabel.csv", images=SAMPLE),
        "--task",
        "image_classification_multilabel",
        "--json",
    ]
    assert json.loads(kedro("data", "check", *table).stdout)["usable"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data", "check", "--source", "nowhere.json"], 1, "nowhere.json"),
        (["data", "check", *source(), "--format", "cocoo"], 2, "Did you mean 'coco'"),
        (["data", "check", *source(), "--task", "object_detectoin"], 2, "Did you mean 'object_detection'"),
        (["data", "check"], 2, "--source"),
    ],
)
def test_mistakes_end_in_one_message(arguments, code, message):
    result = kedro(*arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_both_spellings_of_the_pipeline_option_are_known_and_a_wrong_name_is_told():
    result = kedro("run", "--help")
    assert "--pipeline" in result.stdout
    assert "--pipelines" in result.stdout
    wrong = kedro("run", "--pipeline=object_detecton")
    assert wrong.returncode != 0
    assert "object_detection" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_airflow_gets_one_task_a_stage_with_its_own_dag_id(tmp_path):
    params = "object_detection.limits.max_trials=3"
    result = kedro("airflow", "create", "-p", "object_detection", "-t", tmp_path, "--params", params)
    assert result.returncode == 0, result.stderr
    [dag] = tmp_path.glob("*.py")
    assert """params={"runtime_params": {'object_detection': {'limits': {'max_trials': 3}}}}""" in dag.read_text()
    tree = ast.parse(dag.read_text())
    text = dag.read_text()
    assert 'dag_id="automl_images_object_detection"' in text
    stages = [
        n.args[0].value
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Call) and n.func.func.attr == "override"
    ]
    assert len(set(stages)) == 8
    ruff = [sys.executable, "-m", "ruff", "check", "--ignore=S108", "--config", ROOT / "pyproject.toml", dag]
    checked = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert 'tasks["sweep"] >> tasks["model_selection"]' in text


def test_a_dag_in_the_default_folder_is_no_part_of_the_project():
    ignored = subprocess.run(["git", "check-ignore", "airflow_dags/x_dag.py"], cwd=ROOT, check=False).returncode
    if ignored == 128:
        pytest.skip("not a git checkout")
    assert ignored == 0
    excluded = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["extend-exclude"]
    assert "airflow_dags" in excluded


@pytest.mark.slow
def test_the_dag_imports_in_airflow_3(tmp_path):
    """In an environment of its own: Airflow and this project side by side."""
    kedro("airflow", "create", "-p", "object_detection", "-t", tmp_path / "dags")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", str(tmp_path / "venv"), "--python", sys.executable], check=True)
    install = subprocess.run(
        ["uv", "pip", "install", "-q", "--python", str(python), "apache-airflow>=3,<4"],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        pytest.skip(f"Airflow cannot be installed here: {install.stderr[-200:]}")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    }
    code = (
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(tmp_path / 'dags')!r}, include_examples=False)\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "[dag] = bag.dags.values()\n"
        "print(dag.dag_id, len(dag.tasks))\n"
    )
    subprocess.run([str(python), "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    result = subprocess.run([str(python), "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "automl_images_object_detection 8"


def test_the_catalogue_lists_every_model_with_its_defaults():
    listed = json.loads(kedro("model", "catalogue", "--json").stdout)
    by_name = {(row["task"], row["model_name"]): row for row in listed}
    lite = by_name["image_classification", "efficientnet_lite0"]
    assert any(source["here"] for source in lite["weights"])
    assert lite["hyperparameters"]["number_of_epochs"] == 15
    assert ("instance_segmentation", "maskrcnn_resnet50_fpn") in by_name
    table = kedro("model", "catalogue", "--task", "object_detection").stdout
    assert "yolov5" in table
    assert (
        "mmd-3x-sparse-rcnn_r101_fpn_300-proposals_crop-ms-480-800-3x_coco" in table
    )  # names are not folded in a pipe
    assert "maskrcnn" not in table
