"""Decoding every image once, in parallel processes, so that nothing broken reaches training.

A decoder that dies (a bug in a C library) takes its process with it, not the run: the images that were under way are
then tried one by one, and the one that kills is reported.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from automl_images.data.images import ImageError, ImageInfo, inspect_image
from automl_images.data.progress import Advance, showing

logger = logging.getLogger(__name__)

Inspection = ImageInfo | ImageError

_CHUNK = 32
_ALONE = 200
"""Up to so many images are decoded in this process: starting others takes longer."""


def inspect_images(
    paths: Sequence[str], workers: int | None = None, progress: Advance | None = None
) -> dict[str, Inspection]:
    """Decode images and return what each is, or the error it gave.

    Args:
        paths: of image files, without repetition.
        workers: processes; as many as this process may use cores if not given; 1 decodes in this process.
        progress: called with done and total; a bar or log lines if not given.
    """
    workers = workers or available_cores()
    if progress is None:
        with showing("Checking images") as advance:
            return inspect_images(paths, workers, advance)
    if workers == 1 or len(paths) <= _ALONE:
        return _inspect_here(paths, progress)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    results: dict[str, Inspection] = {}
    while chunks:
        _inspect_in_pool(chunks, workers, results, progress, len(paths))
        chunks = [chunk for chunk in chunks if chunk[0] not in results]
        suspects = [path for chunk in chunks[: 2 * workers + 1] for path in chunk]  # what a dead worker may have held
        _inspect_alone(suspects, results, progress, len(paths))
        chunks = chunks[2 * workers + 1 :]
    return {path: results[path] for path in paths}


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _inspect_here(paths: Sequence[str], progress: Advance) -> dict[str, Inspection]:
    results: dict[str, Inspection] = {}
    for path in paths:
        results[path] = _inspect(path)
        progress(len(results), len(paths))
    return results


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _inspect_in_pool(
    chunks: list[Sequence[str]], workers: int, results: dict[str, Inspection], progress: Advance, total: int
) -> None:
    """Add the results of all chunks to `results`, or of those that were finished before a worker died."""
    waiting: dict[Future[list[Inspection]], Sequence[str]] = {}
    with _pool(workers) as pool:
        try:
            waiting.update((pool.submit(_inspect_chunk, chunk), chunk) for chunk in chunks)
            for future in as_completed(waiting):
                results.update(zip(waiting[future], future.result(), strict=True))
                progress(len(results), total)
        except BrokenProcessPool:
            logger.warning("A process died while decoding images; the ones that it had are tried one by one.")
    for future, chunk in waiting.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            results.update(zip(chunk, future.result(), strict=True))


def _inspect_alone(paths: list[str], results: dict[str, Inspection], progress: Advance, total: int) -> None:
    pool = _pool(1)
    for path in paths:
        try:
            results[path] = pool.submit(_inspect, path).result()
        except BrokenProcessPool:
            message = f"Decoding {path} ended the process that did it. Save the image anew or drop its row."
            results[path] = ImageError("IMAGE_KILLED_DECODER", message)
            pool = _pool(1)
        progress(len(results), total)
    pool.shutdown()


def _inspect_chunk(paths: Sequence[str]) -> list[Inspection]:
    return [_inspect(path) for path in paths]


def _inspect(path: str) -> Inspection:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about odd tags; what matters becomes a finding
            return inspect_image(path)
    except ImageError as error:
        return error
