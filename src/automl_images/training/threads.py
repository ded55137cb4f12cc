"""Sharing the cores between trials, their loader workers and their arithmetic.

Processes times threads never exceed the cores: two OpenMP threads beside a busy process are slower than one, and
threads that wait must sleep, not spin. No torch here: the parent of trials plans too.
"""

from __future__ import annotations

import os
from pathlib import Path

CORES_VARIABLE = "AUTOML_IMAGES_CORES"
"""How many cores a trial's process may use; set by its parent."""

MOST_WORKERS = 8


def available_cores() -> int:
    """Return the cores that this process may use: a parent's share, CPU affinity and a container's quota."""
    share = os.environ.get(CORES_VARIABLE, "")
    if share.isdecimal() and int(share) > 0:
        return int(share)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_quota() or cores))


def cores_per_trial(trials: int) -> int:
    """Return each trial's share of the cores when `trials` run at the same time, at least 1."""
    return max(1, available_cores() // max(1, trials))


def trials_at_once(asked: int, trials: int, devices: int) -> int:
    """Return how many trials run at the same time, at least 1: without accelerators no more than there are cores.

    Args:
        asked: `max_concurrent_trials`.
        trials: that will be made.
        devices: accelerators of this machine; trials may share them, as each has its own memory to look after.
    """
    most = min(asked, trials) if devices else min(asked, trials, available_cores())
    return max(1, most)


def plan_threads(trials: int, workers: int) -> int:
    """Return the threads of arithmetic of each trial, at least 1.

    Args:
        trials: training at the same time on this machine.
        workers: loader processes of each trial.
    """
    return max(1, cores_per_trial(trials) - workers)


def plan_workers(cores: int, has_accelerator: bool) -> int:
    """Return how many processes shall load images for a training that may use `cores` cores.

    Beside an accelerator all cores but one load. Where the network itself runs on the CPU its threads need the cores:
    up to three cores load between steps without a worker, above that every fourth core loads.
    """
    workers = cores - 1 if has_accelerator else cores // 4
    return max(0, min(MOST_WORKERS, workers))


def environment_for_trial(cores: int) -> dict[str, str]:
    """Return environment variables for the process of a trial that may use `cores` cores."""
    threads = str(cores)
    names = (CORES_VARIABLE, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**dict.fromkeys(names, threads), "OMP_WAIT_POLICY": "PASSIVE"}


def _container_quota() -> int | None:
    """Return the CPUs that a Linux container (cgroup v2) is limited to, rounded up; None: no limit."""
    path = Path("/sys/fs/cgroup/cpu.max")
    if not path.is_file():
        return None
    quota, _, period = path.read_text(encoding="ascii").partition(" ")
    return None if quota == "max" else -(-int(quota) // int(period))
