"""Waiting for a database that does not answer: the same call again, for minutes, before giving up.

A restart of PostgreSQL or a locked SQLite file must cost a sweep seconds, not the night. Calls must be repeatable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from automl_images.core.errors import JobError

T = TypeVar("T")
LOG = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
PATIENCE = 300.0
"""Seconds without an answer after which the run gives up; its state is in the trials' folders."""


def patiently(call: Callable[[], T], patience: float = PATIENCE) -> T:
    """Return what `call` returns; while the database does not answer, call again with growing pauses.

    Args:
        call: may be repeated without harm.
        patience: seconds after which to give up.

    Raises:
        JobError: no answer within `patience`.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    begun, pause = time.monotonic(), FIRST_PAUSE
    while True:
        try:
            return call()
        except (StorageInternalError, DBAPIError) as error:
            cause = _first_line(error)
            if time.monotonic() - begun + pause > patience:
                raise JobError(
                    f"The study's database gave no answer for {patience:.0f} seconds: {cause}. "
                    "Trials keep their checkpoints; run the same command again when the database is back."
                ) from error
        LOG.warning(f"The study's database does not answer ({cause}); trying again in {pause:.0f} seconds.")
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)


def _first_line(error: BaseException) -> str:
    inner = error.__cause__ or error
    return (str(inner).strip().splitlines() or [type(inner).__name__])[0]
