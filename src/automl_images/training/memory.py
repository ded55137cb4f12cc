"""What is done when memory does not suffice: the same batch in smaller parts."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from automl_images.core.errors import MemoryExhaustedError

T = TypeVar("T")

_SIGNS = ("out of memory", "alloc_failed", "can't allocate memory")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that the device's (or torch's CPU) memory is exhausted."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error).lower() for sign in _SIGNS)


def attempt(work: Callable[[], T]) -> T | None:
    """Return what `work` returns, or None when memory did not suffice; freed memory is then given back.

    The caller tries again outside any `except` block, so that the traceback keeps no tensors alive.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    release_memory()
    return None


def smaller(parts: int, largest_batch: int, what: str) -> int:
    """Return twice as many parts.

    Args:
        parts: into how many pieces a batch is cut now.
        largest_batch: images in the largest batch.
        what: name of the batch size's hyper-parameter.

    Raises:
        MemoryExhaustedError: the pieces are single images already.
    """
    if parts >= largest_batch:
        raise MemoryExhaustedError(
            f"Memory does not suffice for a single image ({what} was cut from {largest_batch} to 1). Use smaller "
            "images, a smaller model, mixed precision, or a device with more memory."
        )
    return min(parts * 2, largest_batch)


def release_memory() -> None:
    """Give unused memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def used_memory_mb() -> dict[str, float]:
    """Return `rss_mb` of this process and, on CUDA, `cuda_peak_mb` since the last call."""
    import psutil

    used = {"rss_mb": round(psutil.Process().memory_info().rss / 2**20, 1)}
    if torch.cuda.is_available():
        used["cuda_peak_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        torch.cuda.reset_peak_memory_stats()
    return used
