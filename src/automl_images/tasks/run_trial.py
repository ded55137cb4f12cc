"""The process of one trial: `python -m automl_images.tasks.run_trial FOLDER [--wait]`.

Reads the request in the folder, trains, and leaves the outcome there. The parent keeps our standard input open; when it
ends the parent is gone, and so are we. With `--wait` the folder is an example only: what such a trial needs is
imported, then the folder of the real one is read from standard input.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from pathlib import Path

from automl_images.core.errors import AutoMLImagesError, DataError, DiskFullError
from automl_images.core.events import EventLog
from automl_images.core.files import write_json
from automl_images.core.types import Table
from automl_images.data.mltable import read_table
from automl_images.data.splitting import data_hash
from automl_images.models.catalogue import check_model
from automl_images.sweep.executors import WAIT
from automl_images.sweep.trials import CONSOLE, EVENTS, STOP, TrialRequest
from automl_images.tasks import get_task
from automl_images.tasks.parent import end_with_parent
from automl_images.training.determinism import determinism
from automl_images.training.learner import Learner
from automl_images.training.settings import TrainingSettings
from automl_images.training.trainer import train

WEIGHTS_INFO = "weights.json"


def run(folder: Path) -> None:
    """Train the trial whose request lies in `folder`.

    Raises:
        DataError: the tables hold other data than the request names.
    """
    request = TrialRequest.load(folder)
    events = EventLog(folder / EVENTS)
    with determinism(request.hyperparameters["deterministic"]):
        try:
            learner = _prepare(request, folder, events)
        except AutoMLImagesError as error:
            with contextlib.suppress(DiskFullError):
                events.write("failed", kind=type(error).__name__, reason=str(error), is_final=True)
            raise
        settings = TrainingSettings.from_hyperparameters(request.hyperparameters)
        train(learner, settings, folder, events=events, stop=(folder / STOP).is_file)


def main() -> int:
    """Run the trial of the folder named on the command line and return the exit code."""
    folder = Path(sys.argv[1])
    if WAIT in sys.argv:
        _import_for(folder)
        folder = _given_folder()
    end_with_parent()
    try:
        run(folder)
    except AutoMLImagesError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the console.log of the trial
        return error.exit_code
    return 0


def _import_for(example: Path) -> None:
    """Import what a trial like the one in `example` needs."""
    request = TrialRequest.load(example)
    get_task(request.task)
    with contextlib.suppress(AutoMLImagesError):
        check_model(request.task, request.model_name, request.hyperparameters)


def _given_folder() -> Path:
    """Wait for the folder on standard input, and write what is printed from now on to its console.log."""
    line = b""
    while not line.endswith(b"\n"):
        if not (read := os.read(0, 4096)):  # the parent is gone, or needs no further trial
            sys.exit(0)
        line += read
    folder = Path(os.fsdecode(line[:-1]))
    with (folder / CONSOLE).open("ab") as console:
        for stream in (1, 2):
            os.dup2(console.fileno(), stream)
    return folder


def _leave(code: int) -> None:
    """End this process at once: tearing PyTorch down takes half a second, for which the next trial would wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    if multiprocessing.active_children():  # loaders' processes are to end properly
        sys.exit(code)
    os._exit(code)


def _prepare(request: TrialRequest, folder: Path, events: EventLog) -> Learner:
    training, validation = read_table(request.training_table), read_table(request.validation_table)
    _require_same_data(request, training, validation)
    learner, weights = get_task(request.task).learner(request, training.rows, validation.rows)
    write_json(folder / WEIGHTS_INFO, weights.as_dict())
    if weights.note:
        events.write("weights", message=weights.note)
    return learner


def _require_same_data(request: TrialRequest, training: Table, validation: Table) -> None:
    found = data_hash(training.rows, validation.rows)
    if found != request.data_hash:
        raise DataError(
            f"The tables {request.training_table} and {request.validation_table} changed since the job began. "
            "Run the pipeline from validation_split on; it starts a new job for the new data."
        )


if __name__ == "__main__":
    _leave(main())
