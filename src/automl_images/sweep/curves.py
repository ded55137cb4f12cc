"""The learning curves of trials as one long table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from automl_images.core.events import read_events
from automl_images.sweep.trials import EVENTS, TrialOutcome

COLUMNS = ["trial", "model_name", "epoch", "metric", "value"]
_ALWAYS = ("log_loss_train", "log_loss", "learning_rate", "images_per_second", "seconds")


def curves(outcomes: Sequence[TrialOutcome]) -> pd.DataFrame:
    """Return a row for each trial, epoch (from 1) and number that was logged; a repeated epoch counts once."""
    rows = {}
    for outcome in outcomes:
        for event in read_events(outcome.folder / EVENTS):
            if event["event"] != "epoch":
                continue
            numbers = {**{name: event.get(name) for name in _ALWAYS}, **event.get("metrics", {})}
            for name, value in numbers.items():
                if value is not None:
                    key = (outcome.number, outcome.model_name, event["epoch"], name)
                    rows[key] = (*key, value)
    return pd.DataFrame(rows.values(), columns=COLUMNS)
