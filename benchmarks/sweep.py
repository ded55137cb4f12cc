"""What a sweep saves, and what it costs beside training.

One command a question:

    python benchmarks/sweep.py policies                       recorded learning curves, one trial after another
    python benchmarks/sweep.py policies CURVES.csv --concurrent 4
    python benchmarks/sweep.py overhead                       a small real sweep on the bundled sample

`policies` replays learning curves that were recorded without early termination under each policy: how many epochs it
saves, and whether the best metric is the same. CURVES.csv has the columns `sweep` (may be missing), `trial`, `epoch`
(from 1) and `value` (larger is better).

`overhead` runs a sweep of three short trials by `kedro run` and prints for each the seconds from the start of its
process to the first step, and from the end of training to the record in the study. It exits with 1 above 4 seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from pydantic import TypeAdapter
from runs import kedro_run

from automl_images.core.events import read_events
from automl_images.sweep.policies import EarlyTerminationOptions, build_pruner
from automl_images.sweep.policies.pruner import PolicyPruner

RATES = (0.001, 0.002, 0.003)
MOST_OVERHEAD = 4.0
SWEEP = {
    "limits": {"max_trials": len(RATES)},
    "search_space": [{"model_name": "efficientnet_lite0", "learning_rate": {"type": "choice", "values": list(RATES)}}],
    "sweep": {"sampling_algorithm": "grid"},
    "training_parameters": {"number_of_epochs": 2, "training_crop_size": 96, "validation_crop_size": 96},
}
RECORDED = Path(__file__).parent / "data/learning_curves.csv"
POLICIES: tuple[Mapping[str, Any], ...] = (
    {"type": "none"},
    {"type": "bandit", "slack_factor": 0.1, "delay_evaluation": 3},
    {"type": "bandit", "slack_factor": 0.2, "delay_evaluation": 3},
    {"type": "median_stopping", "delay_evaluation": 3},
    {"type": "median_stopping", "delay_evaluation": 5},
    {"type": "truncation_selection", "truncation_percentage": 20, "delay_evaluation": 3},
    {"type": "truncation_selection", "truncation_percentage": 50, "delay_evaluation": 3},
    {"type": "hyperband", "reduction_factor": 3},
    {"type": "hyperband", "reduction_factor": 3, "minimum_epochs": 3},
)

Curve = Mapping[int, float]
"""Values of a trial by epoch, from 1."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Epochs trained, and the best value that was reached in them."""

    epochs: int
    best: float


def full(curves: Sequence[Curve]) -> Outcome:
    """Return what all trials come to when nothing stops them."""
    return Outcome(sum(len(curve) for curve in curves), max(value for curve in curves for value in curve.values()))


def replay(curves: Sequence[Curve], pruner: PolicyPruner, concurrent: int) -> Outcome:
    """Return what trials with known curves come to under a policy.

    Trials start in order; those that run report an epoch each, then the policy is asked about each of them, as the
    controller does. A trial at its last epoch is complete and not asked about.
    """
    study = optuna.create_study(direction="maximize", pruner=pruner)
    waiting = list(curves)
    running: dict[optuna.Trial, list[tuple[int, float]]] = {}
    reported: list[float] = []
    while waiting or running:
        while waiting and len(running) < concurrent:
            running[study.ask()] = sorted(waiting.pop(0).items())
        for trial, rest in running.items():
            epoch, value = rest.pop(0)
            trial.report(value, epoch)
            reported.append(value)
        for trial, rest in list(running.items()):
            if not rest:
                study.tell(trial, 0.0)  # policies go by what was reported
            elif trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                continue
            del running[trial]
    return Outcome(len(reported), max(reported))


def read_curves(path: Path) -> dict[str, list[Curve]]:
    """Return the curves of each sweep, in the order of the trials; epochs without a finite value are left out."""
    table = pd.read_csv(path)
    table = table[table["value"].map(math.isfinite)]
    sweeps = table.groupby(table["sweep"].astype(str) if "sweep" in table else table["trial"].map(lambda _: path.stem))
    return {
        str(name): [dict(zip(rows["epoch"], rows["value"], strict=True)) for _, rows in sweep.groupby("trial")]
        for name, sweep in sweeps
    }


def compare(sweeps: Mapping[str, Sequence[Curve]], pruners: Sequence[PolicyPruner], concurrent: int) -> pd.DataFrame:
    """Return a row for each policy and sweep: `saved` is the share of epochs, `without` and `with` the best metric."""
    rows = []
    for pruner in pruners:
        for name, curves in sweeps.items():
            alone, stopped = full(curves), replay(curves, pruner, concurrent)
            rows.append(
                {
                    "policy": described(pruner),
                    "sweep": name,
                    "trials": len(curves),
                    "saved": 1 - stopped.epochs / alone.epochs,
                    "without": alone.best,
                    "with": stopped.best,
                    "equal": math.isclose(alone.best, stopped.best),
                }
            )
    return pd.DataFrame(rows)


def described(pruner: PolicyPruner) -> str:
    """Return the name of a policy with the options that were set."""
    given = pruner.policy.options.model_dump(exclude_unset=True, exclude={"type"})
    return " ".join([pruner.policy.options.type, *(f"{key}={value}" for key, value in sorted(given.items()))])


def print_policies(arguments: argparse.Namespace) -> None:
    parser: TypeAdapter[Any] = TypeAdapter(EarlyTerminationOptions)
    pruners = [build_pruner(parser.validate_python(options)) for options in POLICIES]
    table = compare(read_curves(arguments.curves), pruners, arguments.concurrent)
    print(f"{arguments.curves.name}, {arguments.concurrent} at a time")
    print("| policy | sweep | trials | epochs saved | best without | best with | equal |")
    print("|---|---|---:|---:|---:|---:|---|")
    for row in table.to_dict("records"):
        print(
            f"| {row['policy']} | {row['sweep']} | {row['trials']} | {row['saved']:.0%} "
            f"| {row['without']:.4f} | {row['with']:.4f} | {'yes' if row['equal'] else 'no'} |"
        )
    print("\n| policy | epochs saved, mean of the sweeps | best metric lost, mean | sweeps with equal best |")
    print("|---|---:|---:|---:|")
    for name, rows in table.groupby("policy", sort=False):
        lost = (rows["without"] - rows["with"]).mean()
        print(f"| {name} | {rows['saved'].mean():.0%} | {lost:.4f} | {rows['equal'].sum()} of {len(rows)} |")


def print_overhead(arguments: argparse.Namespace) -> None:
    """Run a small sweep and print what its trials cost beside training; the first one warms the caches."""
    task = "image_classification"
    with tempfile.TemporaryDirectory() as root:
        data = kedro_run(task, SWEEP, Path(root), ["--to-nodes", f"sweep.{task}.run_trials"])
        job = next((data / "06_models" / task / "trials").glob("*/job.json")).parent
        rows = [_overhead(job, trial) for trial in range(len(RATES))]
    table = pd.DataFrame(rows).round(2)
    print(table.to_string(index=False))
    warm = table.iloc[1:]["overhead"].mean()
    print(f"mean of the warm trials: {warm:.2f} s beside training (at most {MOST_OVERHEAD:.0f})")
    sys.exit(int(warm > MOST_OVERHEAD))


def _overhead(job: Path, trial: int) -> dict[str, float]:
    told = [e for e in read_events(job / "events.jsonl") if e.get("trial") == trial]
    own = read_events(job / str(trial) / "events.jsonl")
    at = {e["event"]: e["time"] for e in told} | {e["event"]: e["time"] for e in own}
    ready = next(e["time"] for e in own if e["event"] == "checkpoint")  # the first: then the first batch is loaded
    before, after = ready - at["trial_started"], at["trial_ended"] - at["finished"]
    training = at["finished"] - ready
    return {
        "trial": trial,
        "training": training,
        "to_first_step": before,
        "to_record": after,
        "overhead": before + after,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    policies = commands.add_parser("policies", help="epochs that each early termination policy saves")
    policies.add_argument("curves", type=Path, nargs="?", default=RECORDED)
    policies.add_argument("--concurrent", type=int, default=1, help="trials that run at a time")
    policies.set_defaults(run=print_policies)
    overhead = commands.add_parser("overhead", help="seconds of a trial beside training")
    overhead.set_defaults(run=print_overhead)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
