"""The replay of recorded curves counts epochs and the best metric as worked out by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import sweep
from pydantic import TypeAdapter

from automl_images.sweep.policies import EarlyTerminationOptions, build_pruner

SCRIPT = Path(sweep.__file__)


def policy(**options):
    return build_pruner(TypeAdapter(EarlyTerminationOptions).validate_python(options))


CURVES = [
    {1: 0.5, 2: 0.6, 3: 0.7},
    {1: 0.2, 2: 0.9, 3: 0.9},
    {1: 0.5, 2: 0.6, 3: 0.8},
]


def test_without_a_policy_nothing_is_saved():
    assert sweep.full(CURVES) == sweep.Outcome(9, 0.9)
    for concurrent in (1, 2, 5):
        assert sweep.replay(CURVES, policy(type="none"), concurrent) == sweep.Outcome(9, 0.9)


def test_a_late_starter_is_lost():
    """Bandit stops trial 1 after an epoch (0.2 against 0.5), and with it two epochs and the best metric."""
    bandit = policy(type="bandit", slack_factor=0.1)
    assert sweep.replay(CURVES, bandit, 1) == sweep.Outcome(7, 0.8)
    assert sweep.replay(CURVES, bandit, 3) == sweep.Outcome(7, 0.8)


def test_a_trial_at_its_last_epoch_is_complete():
    assert sweep.replay([{1: 0.9}, {1: 0.1}], policy(type="bandit", slack_factor=0.1), 1).epochs == 2


def test_the_command_prints_every_policy(tmp_path):
    generator = np.random.default_rng(0)
    best = generator.random((2, 10))
    rows = [("ab"[s], t, e, best[s, t] * (1 - 0.7**e)) for s in range(2) for t in range(10) for e in range(1, 13)]
    path = tmp_path / "curves.csv"
    pd.DataFrame(rows, columns=["sweep", "trial", "epoch", "value"]).to_csv(path, index=False)
    command = [sys.executable, str(SCRIPT), "policies", str(path), "--concurrent", "4"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    nothing = next(line for line in lines if line.startswith("| none | a |"))
    assert nothing == f"| none | a | 10 | 0% | {(value := best[0].max() * (1 - 0.7**12)):.4f} | {value:.4f} | yes |"
    bandit = [line for line in lines if line.startswith("| bandit delay_evaluation=3 slack_factor=0.1 |")]
    assert len(bandit) == 3
    assert all(line.endswith("| yes |") for line in bandit[:2])  # curves that do not cross
    assert bandit[2].endswith("| 0.0000 | 2 of 2 |")
    assert float(bandit[0].split("|")[4].strip(" %")) > 30
