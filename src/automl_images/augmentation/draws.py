"""Random numbers of augmentation: always from a generator that the caller passes, never from a global state."""

from __future__ import annotations

import numpy as np
import torch


def generator_for(*numbers: int) -> torch.Generator:
    """Return a generator seeded by several numbers, for example seed, epoch and index.

    Neighbouring numbers give unrelated streams (NumPy's SeedSequence mixes them). The numbers must not be negative.
    """
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """Return a number drawn uniformly from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(generator: torch.Generator, count: int) -> int:
    """Return a whole number drawn uniformly from 0 to `count - 1`."""
    return int(torch.randint(count, (), generator=generator))
