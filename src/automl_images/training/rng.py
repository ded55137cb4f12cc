"""The state of every global random generator, as plain values that a checkpoint may hold."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's global generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # models of others may draw from the global generator
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of python's, numpy's and torch's generators."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set what `random_state` returned; states of devices that this machine lacks are left out."""
    random.setstate(state["python"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if torch.backends.mps.is_available() and state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run a block on freshly seeded generators and put the old states back afterwards.

    Validation runs in it: its loss then does not depend on when it is computed, and training not on how often.
    """
    before = random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        restore_random_state(before)
