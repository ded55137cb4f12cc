"""Whether torch may use operations whose result differs from one call to the next, as some of a GPU's do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Hold torch to operations that give the same result again where `wanted`; it warns of those it has none for.

    To be entered before anything is computed on a GPU: cuBLAS reads its setting once.
    """
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
