"""Measures recipes on small data sets and writes AutoMode's portfolio from what came of them.

    python benchmarks/portfolio.py measure --data FOLDER --only clothing     adds rows to benchmarks/data/recipes.csv
    python benchmarks/portfolio.py write                                     writes conf/base/parameters_portfolio.yml

`measure` runs one sweep a data set, whose grid is the list of candidates, by `kedro run`; its learning curves are added
to benchmarks/data/learning_curves.csv. `write` ranks the recipes of a task: first the one with the smallest mean
regret (distance to the best of its data set), then whichever lowers most what a user loses who tries all picked so far.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from runs import PROJECT, folder, kedro_run
from small_data import Case, cases

HERE = Path(__file__).parent
RESULTS, CURVES = HERE / "data/recipes.csv", HERE / "data/learning_curves.csv"
CANDIDATES = HERE / "data/recipes.yml"
PORTFOLIO = PROJECT / "conf/base/parameters_portfolio.yml"
MOST, NEGLIGIBLE = 6, 0.002
HEADER = """# Recipes of AutoMode, best first. Written by `python benchmarks/portfolio.py write` from what was measured
# (benchmarks/data/recipes.csv). Last come documented defaults of larger models, not measured, for machines with a GPU.
"""


def main() -> None:
    """Run the command that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure", help="try every candidate on data sets")
    measuring.add_argument("--data", type=folder, help="folder of the data sets beside the sample")
    measuring.add_argument("--only", nargs="*", default=[], help="words in the names of the cases")
    measuring.add_argument("--recipes", nargs="*", default=[""], help="words in the names of the recipes")
    measuring.add_argument("--seed", type=int, default=0)
    measuring.set_defaults(run=measure)
    writing = commands.add_parser("write", help="write the portfolio from all that was measured")
    writing.set_defaults(run=write)
    arguments = parser.parse_args()
    arguments.run(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Try the candidates of a task on its data sets and add what came of them to the tables."""
    candidates = yaml.safe_load(CANDIDATES.read_text(encoding="utf-8"))
    for case in cases(arguments.only, arguments.data):
        chosen = [
            recipe
            for recipe in candidates.get(case.task, [])
            if recipe.get("measured", True) and any(word in recipe["name"] for word in arguments.recipes)
        ]
        if not chosen or case.parameters:
            continue
        trials, curves = sweep(case, chosen, arguments.data, arguments.seed)
        add(RESULTS, rows_of(case, chosen, trials, arguments.seed))
        add(CURVES, curves.assign(sweep=f"{case.name}-{arguments.seed}")[["sweep", "trial", "epoch", "value"]])


def sweep(
    case: Case, recipes: Sequence[Mapping[str, Any]], data: Path | None, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run one trial a recipe on a data set; return the leaderboard and the primary metric by epoch."""
    parameters = {
        **case.data(data),
        "limits": {"max_trials": len(recipes), "image_cache_gigabytes": 1},
        "training_parameters": {"model_name": None, "random_seed": seed},
        "search_space": [dict(recipe["hyperparameters"]) for recipe in recipes],
        "sweep": {"sampling_algorithm": "grid"},
    }
    with tempfile.TemporaryDirectory() as root:
        found = kedro_run(case.task, parameters, Path(root), ["--to-nodes", f"sweep.{case.task}.run_trials"])
        output = found / "07_model_output" / case.task
        trials, curves = pd.read_csv(output / "trials.csv"), pd.read_csv(output / "curves.csv")
    primary = trials.columns[trials.columns.get_loc("model_name") + 1]
    return trials.rename(columns={primary: "metric"}), curves[curves["metric"] == primary]


def rows_of(case: Case, recipes: Sequence[Mapping[str, Any]], trials: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows for the table of results."""
    return pd.DataFrame(
        {
            "date": datetime.now(UTC).date().isoformat(),
            "task": case.task,
            "data": case.name,
            "recipe": [recipes[number]["name"] for number in trials["trial"]],
            "seed": seed,
            "metric": trials["metric"].round(4),
            "epochs": trials["epochs"],
            "best_epoch": trials["best_epoch"],
            "seconds": trials["seconds"].round(),
            "status": trials["status"],
            "machine": f"{os.cpu_count()} cores {platform.machine()}",
            "torch": version("torch"),
        }
    )


def add(path: Path, rows: pd.DataFrame) -> None:
    """Append rows to a table; what was measured again takes the place of what was there."""
    keys = [name for name in ("task", "data", "recipe", "seed", "sweep", "trial", "epoch") if name in rows]
    known = pd.read_csv(path) if path.exists() else rows.iloc[:0]
    path.parent.mkdir(exist_ok=True)
    joined = pd.concat([known, rows], ignore_index=True).drop_duplicates(keys, keep="last")
    joined.sort_values(keys).to_csv(path, index=False)


def write(arguments: argparse.Namespace) -> None:
    """Write the portfolio from all that was measured."""
    portfolio = {task: recipes_of(task) for task in yaml.safe_load(CANDIDATES.read_text(encoding="utf-8"))}
    for task, recipes in portfolio.items():
        print(f"{task}: {', '.join(recipe['name'] for recipe in recipes)}")
    text = yaml.safe_dump({"portfolio": portfolio}, sort_keys=False, allow_unicode=True, width=120)
    PORTFOLIO.write_text(HEADER + text, encoding="utf-8")


def recipes_of(task: str, without: str = "") -> list[dict[str, Any]]:
    """Return a task's part of the portfolio: the candidates that rank, then those that are not measured.

    Args:
        task: name.
        without: a data set of which nothing is known.
    """
    candidates = yaml.safe_load(CANDIDATES.read_text(encoding="utf-8"))[task]
    by_name = {recipe["name"]: recipe for recipe in candidates}
    results = pd.read_csv(RESULTS).query("status == 'Completed' and task == @task and data != @without")
    ranked = ranking(results[results["recipe"].isin(by_name)])
    unmeasured = [name for name, recipe in by_name.items() if not recipe.get("measured", True)]
    return [{k: v for k, v in by_name[name].items() if k != "measured"} for name in (*ranked, *unmeasured)]


def ranking(results: pd.DataFrame) -> list[str]:
    """Return recipes in the order in which they are worth trying, at most `MOST`.

    Args:
        results: of one task, with `data`, `recipe`, `seed` and `metric`.
    """
    if results.empty:
        return []
    table = results.pivot_table(index="recipe", columns="data", values="metric")
    table = table.fillna(table.min())  # what was not measured on a set counts as the worst that was
    regret = table.max() - table
    picked: list[str] = []
    loss = regret.max()
    while len(picked) < min(MOST, len(table)):
        left = regret.drop(index=picked)
        after = left.clip(upper=loss, axis=1).mean(axis=1)
        best = min(left.index, key=lambda name: (after[name], left.loc[name].mean(), name))
        if picked and loss.mean() - after[best] < NEGLIGIBLE:
            break
        picked.append(best)
        loss = left.loc[best].clip(upper=loss)
    return picked


if __name__ == "__main__":
    main()
