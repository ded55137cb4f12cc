"""AutoMode through the user's command: probes, recipes in order, the verdict against the default recipe."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASK = "image_classification"
SMALL = {"training_crop_size": 32, "validation_crop_size": 32, "validation_resize_size": 40, "training_batch_size": 32}
RECIPES = [
    {"name": "decayed", "hyperparameters": {"model_name": "efficientnet_lite0", "layer_decay": 0.5}},
    {"name": "absent", "hyperparameters": {"model_name": "vitb16r224"}},
]


def run_automode(folder, limits, portfolio, **training_parameters):
    """Run AutoMode with tiny images; return what kedro came to and the rows of trials.csv."""
    conf = folder / "conf"
    shutil.copytree(ROOT / "conf", conf)
    values = {**SMALL, "model_name": None, "number_of_workers": 0, **training_parameters}
    given = {TASK: {"limits": limits, "training_parameters": values}, "portfolio": {TASK: portfolio}}
    (conf / "test" / "parameters_image_classification.yml").write_text(json.dumps(given))
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={TASK}", "--env=test", "--conf-source", str(conf)]
    params = f"data_root={folder}/data,{TASK}.training_parameters.model_name=efficientnet_lite0"
    result = subprocess.run(
        [*command, "--params", params], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    with (folder / "data/07_model_output" / TASK / "trials.csv").open(newline="") as stream:
        return result.stdout + result.stderr, list(csv.DictReader(stream))


@pytest.mark.slow
def test_where_time_is_short_the_default_recipe_follows_the_clock_to_its_end(tmp_path):
    limits = {"max_trials": 3, "timeout_minutes": 1}
    _, [trial] = run_automode(tmp_path, limits, [], number_of_epochs=1000, early_stopping=False)
    assert trial["status"] == "Completed"
    assert 20 < float(trial["seconds"]) < 60
    assert float(trial["seconds"]) - 3 < 60 * float(trial["max_training_minutes"]) < 60
    assert int(trial["epochs"]) < int(trial["number_of_epochs"]) == 1000
    events = next((tmp_path / "data").rglob("trials/*/0/events.jsonl")).read_text().splitlines()
    rates = [event["learning_rate"] for event in map(json.loads, events) if event["event"] == "epoch"]
    assert rates[-1] < 0.1 * max(rates)


def test_recipes_are_probed_tried_in_order_and_judged_against_the_default(tmp_path):
    limits = {"max_trials": 3, "timeout_minutes": 30}
    output, trials = run_automode(tmp_path, limits, [recipe_of_lite(), *RECIPES], number_of_epochs=2)
    assert [t["recipe"] for t in trials] == ["default", "slow", "decayed"]
    assert [t["layer_decay"] for t in trials] == ["1.0", "1.0", "0.5"]
    assert "AutoMode: default: efficientnet_lite0" in output
    assert "s an epoch" in output
    best = json.loads((tmp_path / "data/06_models" / TASK / "best_trial.json").read_text())
    if max(trials, key=lambda t: float(t["accuracy"]))["trial"] != "0":
        assert best["comparison"]["kept"] in {"default", "challenger"}
        assert best["comparison"]["sentence"] in (tmp_path / "data/08_reporting" / TASK / "report.html").read_text()
    else:
        assert best["trial"] == 0
    assert [row["name"] for row in best["automode"]] == ["default", "slow", "decayed"]
    plan = json.loads(next((tmp_path / "data").rglob("automode.json")).read_text())
    assert [r["name"] for r in plan["recipes"]] == ["default", "slow", "decayed"]
    assert all(r["seconds_per_epoch"] > 0 and r["memory_bytes"] > 10**8 for r in plan["recipes"])


def recipe_of_lite():
    return {"name": "slow", "hyperparameters": {"model_name": "efficientnet_lite0", "learning_rate": 0.0001}}
