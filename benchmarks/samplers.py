"""Sampling algorithms on made-up sweeps: how far from the best configuration is the chosen one?

Run: `python benchmarks/samplers.py [--seeds 20] [--trials 30]`; six minutes on one core, two with `--seeds 5`.

The surfaces have the shapes of fine-tuning: a bell over log10 of the effective learning rate that falls off a cliff
where training diverges, models with own ceilings and own best learning rates, values that hardly matter, and noise of
0.005 on each score, as between two seeds of a training. Shown is the regret after 20 and after all trials: the ceiling
of the surface minus the noise-free score of the configuration that scored best, times 100 (percentage points), mean
and standard error over the seeds. `tpe` is Optuna's tree-structured Parzen estimator (multivariate, grouped), the usual
choice where spaces have conditions.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning

from automl_images.sweep.samplers import SamplingOptions, build_sampler
from automl_images.sweep.space import SearchSpace

NOISE = 0.005
LEARNING_RATE = "loguniform(-11.5, -0.7)"


def bell(log_rate: float, best: float, width: float) -> float:
    """Return the share of the ceiling that is reached: less on the left, nothing from a factor of 30 on the right."""
    if log_rate > best + 1.5:
        return 0.1
    return math.exp(-(((log_rate - best) / width) ** 2) / 2)


def tuning(values: Mapping[str, Any]) -> float:
    """Score of one model over four continuous values; the ceiling is 0.9."""
    effective = math.log10(values["learning_rate"] / (1 - values["momentum"]))
    decay = 1 - 0.05 * abs(math.log10(values["weight_decay"]) + 3.5) / 3
    return 0.9 * bell(effective, -1.0, 0.8) * decay * (1 - 0.1 * (values["label_smoothing"] - 0.1) ** 2)


def rate(values: Mapping[str, Any]) -> float:
    """Score over the learning rate alone, with a narrow peak; the ceiling is 0.9."""
    return 0.9 * bell(math.log10(values["learning_rate"]), -2.3, 0.4)


def mixed(values: Mapping[str, Any]) -> float:
    """Score over model, optimiser, learning rate and image size; the ceiling is 0.85."""
    best = {"sgd": -2.0, "adam": -3.0, "adamw": -3.2}[values["optimizer"]]
    ceiling = {"small": 0.74, "medium": 0.82, "large": 0.85}[values["model_size"]]
    size = 1 - 0.15 * ((values["image_size"] - 640) / 384) ** 2
    return ceiling * bell(math.log10(values["learning_rate"]), best, 0.7) * size


def conditional(values: Mapping[str, Any]) -> float:
    """Score over three models with own learning rates; the ceiling is 0.8."""
    ceiling, best = {"yolov5": (0.8, -2.0), "atss": (0.72, -3.5), "retinanet": (0.77, -2.8)}[values["model_name"]]
    return ceiling * bell(math.log10(values["learning_rate"]), best, 0.6)


SURFACES: dict[str, tuple[Callable[[Mapping[str, Any]], float], float, list[dict[str, Any]]]] = {
    "rate": (rate, 0.9, [{"learning_rate": LEARNING_RATE}]),
    "tuning": (
        tuning,
        0.9,
        [
            {
                "learning_rate": LEARNING_RATE,
                "momentum": "uniform(0.5, 0.99)",
                "weight_decay": "loguniform(-13.8, -4.6)",
                "label_smoothing": "uniform(0, 0.3)",
            }
        ],
    ),
    "mixed": (
        mixed,
        0.85,
        [
            {
                "model_size": "choice(small, medium, large)",
                "optimizer": "choice(sgd, adam, adamw)",
                "learning_rate": LEARNING_RATE,
                "image_size": "quniform(256, 960, 32)",
            }
        ],
    ),
    "conditional": (
        conditional,
        0.8,
        [
            {"model_name": "yolov5", "learning_rate": LEARNING_RATE},
            {"model_name": "atss", "learning_rate": "loguniform(-11.5, -4)", "optimizer": "choice(sgd, adamw)"},
            {"model_name": "retinanet", "learning_rate": LEARNING_RATE, "momentum": "uniform(0.8, 0.95)"},
        ],
    ),
}


def sampler(name: str, space: SearchSpace, seed: int) -> optuna.samplers.BaseSampler:
    """Return a sampler by the name of its column."""
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    options = {"type": "random", "rule": "sobol"} if name == "sobol" else {"type": name}
    return build_sampler(SamplingOptions.model_validate({**options, "seed": seed}), space)


def regrets(surface: str, name: str, seed: int, trials: int) -> list[float]:
    """Return the regret after each trial of one sweep."""
    score, ceiling, given = SURFACES[surface]
    space = SearchSpace.parse(given)
    study = optuna.create_study(direction="maximize", sampler=sampler(name, space, seed))
    noise = np.random.default_rng(seed).normal(0, NOISE, trials)
    truths: list[float] = []
    seen: list[float] = []
    result = []
    for number in range(trials):
        trial = study.ask()
        truths.append(score(space.suggest(trial)))
        seen.append(truths[-1] + noise[number])
        study.tell(trial, seen[-1])
        result.append(100 * (ceiling - truths[int(np.argmax(seen))]))
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--samplers", nargs="+", default=["random", "sobol", "tpe", "bayesian"])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    print(f"{'surface':<12}{'sampler':<10}{'after 20':>14}{f'after {options.trials}':>14}{'ms a trial':>12}")
    for surface in SURFACES:
        for name in options.samplers:
            started = time.perf_counter()
            table = np.array([regrets(surface, name, seed, options.trials) for seed in range(options.seeds)])
            cost = (time.perf_counter() - started) * 1000 / table.size
            mean, error = table.mean(0), table.std(0) / math.sqrt(len(table))
            cells = "".join(f"{mean[n]:>8.2f} ± {error[n]:<4.2f}" for n in (19, -1))
            print(f"{surface:<12}{name:<10}{cells}{cost:>11.0f}", flush=True)


if __name__ == "__main__":
    main()
