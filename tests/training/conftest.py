import multiprocessing
import os
import sys

import pytest
import torch
from tiny_learner import TinyLearner, settings

from automl_images.core.errors import AutoMLImagesError
from automl_images.core.events import EventLog, read_events
from automl_images.training.trainer import train


@pytest.fixture(autouse=True)
def _one_thread():
    """Forked children cannot use OpenMP threads that their parent began."""
    torch.set_num_threads(1)


@pytest.fixture
def train_here():
    """Train in this process."""

    def run(folder, learner=None, stop=None, **given):
        events = EventLog(folder / "events.jsonl")
        return train(learner or TinyLearner(), settings(**given), folder, events=events, stop=stop)

    return run


@pytest.fixture
def train_apart(train_here):
    """Begin training in a process of its own, in a process group of its own."""

    def child(folder, learner, environment, given):
        os.setsid()
        os.environ.update(environment)
        try:
            train_here(folder, learner, **given)
        except AutoMLImagesError as error:
            sys.exit(error.exit_code)

    def begin(folder, learner=None, environment=None, **given):
        context = multiprocessing.get_context("fork")
        process = context.Process(target=child, args=(folder, learner, environment or {}, given))
        process.start()
        return process

    return begin


@pytest.fixture
def events_of():
    """Return the events of a kind from a trial's folder."""
    return lambda folder, kind: [event for event in read_events(folder / "events.jsonl") if event["event"] == kind]
