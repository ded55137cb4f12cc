"""A probe: a few steps of a model in a process of its own, to know what it costs here before it is chosen.

Owns the record and what is predicted from it; `tasks/run_probe.py` is the process that measures.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl_images.core.files import read_json
from automl_images.sweep.automode.portfolio import DataFacts

RECORD = "probe.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What a few steps cost.

    Attributes:
        training_seconds: for one image, forth and back.
        validation_seconds: for one image, metrics included.
        startup_seconds: from the start of the process to the first step.
        memory_bytes: peak; of the GPU where there is one, else of the process.
        pretrained: whether the training begins with pretrained weights.
    """

    training_seconds: float
    validation_seconds: float
    startup_seconds: float
    memory_bytes: int
    pretrained: bool

    def seconds_per_epoch(self, facts: DataFacts) -> float:
        """Return the predicted seconds of an epoch over all the data."""
        return self.training_seconds * facts.training_images + self.validation_seconds * facts.validation_images


def run_probe(
    folder: Path, command: Sequence[str], environment: Mapping[str, str], limit_seconds: float
) -> tuple[Probe | None, str]:
    """Measure the model whose request lies in `folder`; a probe that is there already is taken.

    Returns:
        The probe, or None and why there is none.
    """
    record = folder / RECORD
    if not record.is_file():
        problem = _measure(folder, command, environment, limit_seconds)
        if problem:
            return None, problem
    found: dict[str, Any] = read_json(record)
    return Probe(**found), ""


def _measure(folder: Path, command: Sequence[str], environment: Mapping[str, str], limit_seconds: float) -> str:
    begun = time.monotonic()
    with (
        (folder / "console.log").open("wb") as console,
        subprocess.Popen(  # noqa: S603 - our own interpreter and module
            list(command),
            stdin=subprocess.PIPE,  # its end tells the probe that we are gone
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            code = process.wait(limit_seconds)
        except BaseException as error:
            process.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"a few steps alone take more than {time.monotonic() - begun:.0f} seconds"
    if code == 0 and (folder / RECORD).is_file():
        return ""
    lines = (folder / "console.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"a few steps failed: {lines[-1] if lines else f'exit code {code}'}"
