"""AutoMode against its alternatives, all with the same time: the default recipe alone, and a random search.

A third of the images, or the set's own validation side, is kept from all of them and judges the registered ONNX models
in the end: whoever chooses among trials by validation images finds lucky ones there. Each row is one `kedro run` of the
whole pipeline. The random search is what one would write by hand: the default model, and rate, optimiser, batch size
and weight decay over usual ranges. AutoMode's portfolio is made without what was measured on the same set, as for a
user's data, unless `--committed` asks for the committed one. Examples:

    python benchmarks/automode.py                                                 sets of the bundled sample
    python benchmarks/automode.py --data FOLDER --only voc clothing --minutes 15  sets in FOLDER too
    python benchmarks/automode.py --seeds 0 1 2

`validation` is the metric on the images that trials were chosen by, `test` that on those kept back.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from portfolio import recipes_of
from runs import folder, kedro_run
from small_data import Case, cases, say, table

from automl_images.core.types import Row
from automl_images.data.conversion import convert
from automl_images.data.mltable import write_table
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import split
from automl_images.jobs.options import EvaluationOptions
from automl_images.models.trained import TrainedModel
from automl_images.tasks import get_task

DEFAULT, RANDOM, AUTOMODE = ARMS = ("default recipe", "random search", "AutoMode")
MOST_TRIALS = 100


def main() -> None:
    """Run all arms on the chosen sets and print the table."""
    arguments = parse()
    rows = []
    for case in cases(arguments.only, arguments.data):
        if case.parameters:
            continue
        for seed in arguments.seeds:
            for arm in arguments.arms:
                rows.append(run(case, arm, seed, arguments))
                say(" | ".join(str(value) for value in rows[-1].values()))
    say(table(rows))


def run(case: Case, arm: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one arm on a data set and return what came of it."""
    with tempfile.TemporaryDirectory() as root:
        source, test = kept_back(case, arguments.data, Path(root))
        parameters = {
            "source": source,
            **search(case, arm, seed, arguments.minutes),
            "validation_data_size": arguments.validation,
            "registration": {"model_name": f"benchmark-{case.name}"},
        }
        portfolio = None if arguments.committed else {case.task: recipes_of(case.task, without=case.name)}
        data = kedro_run(case.task, parameters, Path(root), quiet=not arguments.verbose, portfolio=portfolio)
        report, output = data / "08_reporting" / case.task, data / "07_model_output" / case.task
        metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        judged, interval = judge(case.task, data / "06_models" / case.task / "best", test)
        trials = pd.read_csv(output / "trials.csv")
    return {
        "case": case.name,
        "seed": seed,
        "arm": arm,
        "trials": len(trials),
        "epochs": int(trials["epochs"].sum()),
        "minutes of training": round(trials["seconds"].sum() / 60, 1),
        "minutes allowed": arguments.minutes,
        "validation": round(metrics[get_task(case.task).primary_metric], 4),
        "test": round(judged, 4),
        "test images": len(test),
        "interval": f"{interval['low']:.3f} to {interval['high']:.3f}",
    }


def kept_back(case: Case, data: Path | None, folder: Path) -> tuple[dict[str, Any], Sequence[Row]]:
    """Return the source for training and validation, and the rows that are kept from it."""
    kind = get_task(case.task).label_kind
    given = {name: convert(SourceOptions(**source), kind).rows for name, source in case.data(data).items()}
    if "validation_data" in given:
        return case.data(data)["source"], given["validation_data"]
    sides = split(given["source"], 1 / 3, 0, kind)
    write_table(sides.training, folder / "rest")
    images = os.path.commonpath([row["image_url"] for row in given["source"]])
    return {"path": folder / "rest", "format": "mltable", "images": images}, sides.validation


def judge(task_name: str, best: Path, rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
    """Return the primary metric of a model on images that it has not seen, and its interval."""
    task, settings = get_task(task_name), EvaluationOptions().model_dump()
    model = TrainedModel(json.loads((best / "settings.json").read_text(encoding="utf-8")), [], {})
    predictions = task.predict((best / "model.onnx").read_bytes(), rows, settings)
    metrics, evaluation = task.evaluate(predictions, rows, model, settings)
    return metrics[task.primary_metric], evaluation["interval"]


def search(case: Case, arm: str, seed: int, minutes: float) -> Mapping[str, Any]:
    """Return the parameters of an arm."""
    limits = {"timeout_minutes": minutes, "max_trials": 1 if arm == DEFAULT else MOST_TRIALS}
    model = case.model_name if arm == DEFAULT else None
    parameters: dict[str, Any] = {
        "limits": {**limits, "image_cache_gigabytes": 1},
        "training_parameters": {"model_name": model, "random_seed": seed},
    }
    if arm == RANDOM:
        detects = case.task in {"object_detection", "instance_segmentation"}
        parameters["search_space"] = [
            {
                "model_name": case.model_name,
                "learning_rate": f"loguniform({math.log(1e-4):.3f}, {math.log(1e-1):.3f})",
                "optimizer": "choice(sgd, adam, adamw)",
                "training_batch_size": "choice(2, 4, 8)" if detects else "choice(8, 16, 32)",
                "weight_decay": f"loguniform({math.log(1e-5):.3f}, {math.log(1e-2):.3f})",
            }
        ]
        parameters["sweep"] = {
            "sampling_algorithm": {"type": "random", "seed": seed},
            "early_termination": {"type": "median_stopping", "delay_evaluation": 3},
        }
    return parameters


def parse() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=folder, help="folder with the data sets; without it only the bundled sample")
    parser.add_argument("--only", nargs="*", default=["sample"], help="parts of names of cases")
    parser.add_argument("--arms", nargs="*", default=ARMS, choices=ARMS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--minutes", type=int, default=15, help="limits.timeout_minutes of every arm")
    parser.add_argument("--validation", type=float, default=0.2, help="share of the other images that choose the model")
    parser.add_argument("--committed", action="store_true", help="the portfolio as committed, made from the set too")
    parser.add_argument("--verbose", action="store_true", help="show what the runs print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
