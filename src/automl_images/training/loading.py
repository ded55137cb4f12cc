"""Batches for the trainer: their order, the processes that load them, and what happens when such a process dies.

The order of an epoch is a permutation made from seed and epoch, so a position in training is two numbers. Samples are
asked for by key (`(epoch, index)` in training, `index` in validation); they must depend on the key alone.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info

from automl_images.training.learner import Batch, ImageSet

TIMEOUT_SECONDS = 300.0
"""How long a loader process may take for one batch before it counts as hung (torch itself waits for ever)."""

_DEAD = ("DataLoader worker (pid", "DataLoader timed out", "Pin memory thread exited")

Key = tuple[int, int] | int


class TrainingOrder(Sampler[list[Key]]):
    """Batches of `(epoch, index)` in a shuffled order that seed and epoch decide; the last batch may be smaller.

    The permutation is filled up from its own beginning where a process would get fewer images than the others or the
    last batch would be a single image (norm layers cannot train on one value per channel). Images of one shape group
    are put together, as a batch of wide and high images is mostly padding; which of them meet is chance.

    Args:
        images: of an epoch.
        batch_size: of one process.
        seed: of the shuffling.
        rank, world_size: number of this process, and of all.
        shape_groups: of each image; empty: all are of one.

    Attributes:
        epoch, first_batch: where the next iteration begins.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        shape_groups: Sequence[int] = (),
    ) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.shape_groups = shape_groups
        self.epoch = self.first_batch = 0

    def batch(self, number: int) -> list[Key]:
        """Return the keys of a batch of the current epoch."""
        return self._batches()[number]

    def size(self, number: int) -> int:
        """Return how many keys a batch has, which takes no time."""
        return min(self.batch_size, self._share() - number * self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._batches()[self.first_batch :])

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return math.ceil(self._share() / self.batch_size)

    def _share(self) -> int:
        """Return the images that each process sees in an epoch."""
        share = math.ceil(self.images / self.world_size)
        return share + (share > 1 and self.batch_size > 1 and share % self.batch_size == 1)

    def _batches(self) -> list[list[Key]]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self.images, generator=generator).tolist()
        needed = self._share() * self.world_size
        order = (order * (1 + needed // len(order)))[:needed][self.rank :: self.world_size]
        if self.shape_groups:
            order.sort(key=self.shape_groups.__getitem__)
        keys: list[Key] = [(self.epoch, index) for index in order]
        batches = [keys[i : i + self.batch_size] for i in range(0, len(keys), self.batch_size)]
        return self._shuffled(batches, generator) if self.shape_groups else batches

    def _shuffled(self, batches: list[list[Key]], generator: torch.Generator) -> list[list[Key]]:
        """Return the batches in another order; a smaller one stays the last."""
        whole = len(batches) - (len(batches[-1]) < self.batch_size)
        return [*(batches[i] for i in torch.randperm(whole, generator=generator).tolist()), *batches[whole:]]


class PlainOrder(Sampler[list[Key]]):
    """Batches of indices in their own order; each process sees every `world_size`-th image."""

    def __init__(self, images: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        indices = list(range(rank, images, world_size))
        self._batches: list[list[Key]] = [[*indices[i : i + batch_size]] for i in range(0, len(indices), batch_size)]

    def batch(self, number: int) -> list[Key]:
        """Return the keys of a batch."""
        return self._batches[number]

    def size(self, number: int) -> int:
        """Return how many keys a batch has."""
        return len(self._batches[number])

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


class LoaderFailure(RuntimeError):
    """A loader process died; torch's own errors of that kind are told apart by `is_loader_failure`."""


class Loader:
    """Loads batches in the order of a sampler, in `workers` processes or in this one (0).

    Closing it ends its processes for certain, also hung ones.
    """

    def __init__(
        self,
        images: ImageSet,
        order: TrainingOrder | PlainOrder,
        collate: Callable[[Sequence[Any]], Batch | None],
        *,
        workers: int,
        pin_memory: bool,
    ) -> None:
        self.order = order
        self._images = _WatchedImages(images, workers)
        self._processes: set[Any] = set()
        self._loader: DataLoader[Any] = DataLoader(
            self._images,  # type: ignore[arg-type]
            batch_sampler=order,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            timeout=TIMEOUT_SECONDS if workers else 0,
            worker_init_fn=_begin_worker,
            generator=torch.Generator().manual_seed(0),  # else each epoch would draw from the global generator
        )

    def __iter__(self) -> Iterator[Batch | None]:
        before = set(multiprocessing.active_children())
        iterator = iter(self._loader)
        self._processes |= set(multiprocessing.active_children()) - before
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except (OSError, EOFError) as error:  # tensors of an earlier batch that went with the process
                if not self._processes or not wait([process.sentinel for process in self._processes], timeout=1.0):
                    raise
                raise LoaderFailure(f"A loader process ended: {error}") from error
            yield batch

    def image_ids(self, number: int) -> list[str]:
        """Return the ids of the images of a batch."""
        return [self._images.image_id(key) for key in self.order.batch(number)]

    def images_being_read(self) -> list[str]:
        """Return the ids of the images that loader processes have begun and not ended reading."""
        return self._images.being_read()

    def close(self) -> None:
        """End the loader's processes."""
        with _children_may_die():
            for process in self._processes:
                process.kill()
                process.join()
            self._processes.clear()
            del self._loader


def is_loader_failure(error: RuntimeError) -> bool:
    """Tell whether an error means that a loader process died or hung (and not that reading raised an error)."""
    return isinstance(error, LoaderFailure) or str(error).startswith(_DEAD)


class _WatchedImages:
    """Passes keys on to the images and notes, in shared memory, which one each loader process is reading."""

    def __init__(self, images: ImageSet, workers: int) -> None:
        self.images = images
        self.current = torch.full((max(1, workers),), -1, dtype=torch.int64)
        self.current.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Any:
        worker = get_worker_info()
        if worker is None:
            return self.images[key]
        self.current[worker.id] = _index(key)
        sample = self.images[key]
        self.current[worker.id] = -1
        return sample

    def image_id(self, key: Key) -> str:
        return self.images.image_ids[_index(key)]

    def being_read(self) -> list[str]:
        return [self.images.image_ids[index] for index in self.current.tolist() if index >= 0]


def _index(key: Key) -> int:
    return key[1] if isinstance(key, tuple) else key


def _begin_worker(worker: int) -> None:
    """Leave stopping to the trainer: a signal to the whole process group must not end its loaders before it saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextlib.contextmanager
def _children_may_die() -> Iterator[None]:
    """Switch off torch's handler that turns the death of a loader process into an error."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, previous)
