"""The process of a probe: `python -m automl_images.tasks.run_probe FOLDER`.

Trains the model of the request in the folder for two epochs of a few batches and writes down what that cost. The second
epoch counts: the first also pays for caches and for choosing kernels.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import torch

from automl_images.core.errors import AutoMLImagesError
from automl_images.core.events import EventLog, read_events
from automl_images.core.files import write_json
from automl_images.core.types import Row
from automl_images.data.mltable import read_table
from automl_images.sweep.automode.probe import RECORD, Probe
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import get_task
from automl_images.tasks.parent import end_with_parent
from automl_images.training.settings import TrainingSettings
from automl_images.training.trainer import train

BATCHES, VALIDATION_IMAGES = 2, 4


def probe(folder: Path) -> Probe:
    """Measure the request that lies in `folder`."""
    request = TrialRequest.load(folder)
    short = {"number_of_epochs": 2, "warmup_cosine_lr_warmup_epochs": 0, "max_training_minutes": None}
    values: dict[str, Any] = {**request.hyperparameters, **short}
    values = {name: value for name, value in values.items() if name in request.hyperparameters}
    training = _evenly(read_table(request.training_table).rows, BATCHES * int(values["training_batch_size"]))
    validation = _evenly(read_table(request.validation_table).rows, VALIDATION_IMAGES)
    learner, weights = get_task(request.task).learner(request, training, validation)
    with tempfile.TemporaryDirectory() as temporary:
        events = EventLog(Path(temporary) / "events.jsonl")
        train(learner, TrainingSettings.from_hyperparameters(values), Path(temporary), events=events)
        told = read_events(events.path)
    started = next(event for event in told if event["event"] == "started")
    last = [event for event in told if event["event"] == "epoch"][-1]
    return Probe(
        training_seconds=last["seconds_training"] / len(training),
        validation_seconds=(last["seconds"] - last["seconds_training"]) / len(validation),
        startup_seconds=round(started["time"] - psutil.Process().create_time(), 2),
        memory_bytes=_peak_memory(),
        pretrained=weights.pretrained,
    )


def main() -> int:
    """Probe the request of the folder named on the command line and return the exit code."""
    folder = Path(sys.argv[1])
    end_with_parent()
    try:
        found = probe(folder)
    except AutoMLImagesError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the console.log of the probe
        return error.exit_code
    write_json(folder / RECORD, dataclasses.asdict(found))
    return 0


def _evenly(rows: list[Row], count: int) -> list[Row]:
    """Return `count` rows, or all, spread over the table."""
    step = max(1, len(rows) // count)
    return rows[::step][:count]


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())
