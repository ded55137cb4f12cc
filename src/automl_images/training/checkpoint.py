"""Checkpoints that survive a kill at any moment, and the weights of the best epoch.

Owns the folder `checkpoints/` of a trial and `best.safetensors`; what a checkpoint holds stands in `saved_state.py`.
A checkpoint counts only once the manifest names it with its SHA-256; the last two are kept, so that a torn one is
replaced by the one before. Weights that are better than the best wait as `best.next.safetensors` until a checkpoint
knows of them, and those that they replace stay as `best.previous.safetensors`: whichever checkpoint a run goes on
from, the best weights of that checkpoint are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from automl_images.core.errors import TrainingError
from automl_images.core.events import EventLog
from automl_images.core.failpoints import failpoint
from automl_images.core.files import read_json, replacing, sha256, write_json

KEPT = 2
BEST = "best.safetensors"
_NEXT_BEST = "best.next.safetensors"
_PREVIOUS_BEST = "best.previous.safetensors"


class Checkpoints:
    """The checkpoints of one trial.

    Args:
        folder: the trial's folder; checkpoints in it of which the manifest does not know are removed.
        events: told of checkpoints that cannot be used.
    """

    def __init__(self, folder: Path, events: EventLog) -> None:
        self.folder = folder / "checkpoints"
        self.best = folder / BEST
        self._next_best = folder / _NEXT_BEST
        self._previous_best = folder / _PREVIOUS_BEST
        self._manifest = self.folder / "manifest.json"
        self._events = events
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_litter()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, name it in the manifest, remove older ones, and promote waiting best weights.

        Args:
            state: tensors and plain Python values only.

        Raises:
            DiskFullError: earlier checkpoints are untouched, as they are when the disk is read-only (OSError).
        """
        entries = self._entries()
        number = 1 + max((entry["number"] for entry in entries), default=0)
        path = self.folder / f"checkpoint-{number:06d}.pt"
        with replacing(path, _bytes_of(state)) as temporary:
            torch.save(dict(state), temporary)
            failpoint(f"checkpoint:{number}:before_replace")
        failpoint(f"checkpoint:{number}:before_manifest")
        entry = {"number": number, "file": path.name, "sha256": sha256(path)}
        write_json(self._manifest, [*entries, entry][-KEPT:])
        self._remove_litter()
        failpoint(f"checkpoint:{number}:before_best")
        if self._next_best.exists():
            if self.best.exists():
                self.best.replace(self._previous_best)
            self._next_best.replace(self.best)

    def load(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that is whole, on the CPU; None when there is none."""
        for entry in reversed(self._entries()):
            path = self.folder / entry["file"]
            if path.is_file() and sha256(path) == entry["sha256"]:
                return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
            message = f"The checkpoint {path} is damaged or missing; training goes on from the one before."
            self._events.write("checkpoint_unusable", file=entry["file"], message=message)
        return None

    def save_best(self, model: nn.Module, epoch: int) -> None:
        """Write weights that are the best so far; they become `best.safetensors` with the next checkpoint.

        Args:
            model: its state is written as contiguous CPU tensors.
            epoch: counted from 1; kept in the file's metadata.

        Raises:
            TrainingError: a weight is NaN or infinite.
        """
        write_state(self._next_best, model, {"epoch": str(epoch)})

    def replace_best(self, model: nn.Module, epoch: int) -> None:
        """Put other weights in the place of the best ones at the end of a training, under the same epoch."""
        self.save_best(model, epoch)
        self._next_best.replace(self.best)

    def settle_best(self, epoch: int | None) -> None:
        """Make `best.safetensors` be that of `epoch` (None: there is none) after a checkpoint was loaded.

        Raises:
            TrainingError: somebody removed it.
        """
        fitting = weights_by_epoch(self.folder.parent).get(epoch) if epoch is not None else None
        if epoch is not None and fitting is None:
            raise TrainingError(
                f"Expected {self.best} to hold the weights of epoch {epoch}, the best so far, but it does not. "
                f"Remove the folder {self.best.parent} and train again."
            )
        if fitting is not None:
            fitting.replace(self.best)
        self._next_best.unlink(missing_ok=True)
        if epoch is None:
            self.best.unlink(missing_ok=True)

    def _entries(self) -> list[dict[str, Any]]:
        return list(read_json(self._manifest)) if self._manifest.exists() else []

    def _remove_litter(self) -> None:
        named = {entry["file"] for entry in self._entries()}
        for path in self.folder.glob("checkpoint-*.pt"):
            if path.name not in named:
                path.unlink()


def weights_by_epoch(folder: Path) -> dict[int, Path]:
    """Return the files in a trial's folder that hold the best weights of some time, by epoch (from 1)."""
    found = {}
    for path in (folder / name for name in (_PREVIOUS_BEST, _NEXT_BEST, BEST)):  # of one epoch's files the last counts
        if path.exists():
            with safe_open(path, framework="pt") as content:
                found[int(content.metadata()["epoch"])] = path
    return found


def write_state(path: Path, model: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model's state as contiguous CPU tensors to a safetensors file, atomically.

    Raises:
        TrainingError: a weight is NaN or infinite; an earlier file is untouched.
        DiskFullError: the same.
    """
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    _check_finite(weights)
    with replacing(path, _bytes_of(weights)) as temporary:
        save_file(weights, temporary, metadata=dict(metadata or {}))


def _bytes_of(state: Any) -> int:
    """Return the bytes of all tensors in nested dictionaries and lists; files have little besides."""
    if isinstance(state, Tensor):
        return state.nbytes
    parts = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return sum(map(_bytes_of, parts))


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.sum())) and not tensor.isfinite().all():
            raise TrainingError(f"The weights {name} are not finite. Lower learning_rate, for example to 0.0001.")
