"""Waiting for a database or server that does not answer: the same call again, for minutes, before giving up.

A restart of PostgreSQL, a locked SQLite file or an outage of MLflow's server must cost a sweep seconds, not the night.
Calls must be repeatable. A full disk does not pass by waiting and is told at once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from automl_images.core.errors import AutoMLImagesError, JobError
from automl_images.core.files import disk_may_be_full

T = TypeVar("T")
LOG = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
LOOK_UP_SECONDS = 0.25
_CALLS: list[Callable[[], object]] = []
PATIENCE = 300.0
"""Seconds without an answer after which the run gives up; its state is in the trials' folders."""
OPENING_PATIENCE = 30.0
"""The same at the start: a person waits, and a wrong address is likelier than an outage."""
ENDING_PATIENCE = 15.0
"""The same after an error or Ctrl-C, for all that is still to be written down together."""


def is_outage_of_database(error: BaseException) -> bool:
    """Tell whether an error of Optuna or SQLAlchemy is of a database that may answer again."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

    is_refusal = isinstance(error, DataError | IntegrityError)
    return isinstance(error, StorageInternalError | DBAPIError) and not is_refusal


class Patience:
    """Makes calls of one database or server, again and again while it does not answer.

    Args:
        what: it is, for messages, for example `the study's database`.
        file: it is in, where it is one.
        is_outage: tells errors that may pass from others.
    """

    def __init__(
        self, what: str, file: Path | None = None, is_outage: Callable[[BaseException], bool] = is_outage_of_database
    ) -> None:
        self._what, self._file, self._is_outage = what[:1].upper() + what[1:], file, is_outage

    def __call__(self, call: Callable[[], T], seconds: float | None = None) -> T:
        """Return what `call` returns; while there is no answer, call again with growing pauses.

        Args:
            call: may be repeated without harm.
            seconds: after which to give up; None: `PATIENCE`.

        Raises:
            JobError: no answer in that time.
            DiskFullError: the file's disk is full.
        """
        seconds = PATIENCE if seconds is None else seconds
        begun, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                with disk_may_be_full(self._file) if self._file else contextlib.nullcontext():
                    return call()
            except AutoMLImagesError:
                raise
            except Exception as error:
                if not self._is_outage(error):
                    raise
                cause = _first_line(error)
                if time.monotonic() - begun + pause > seconds:
                    raise JobError(
                        f"{self._what} gave no answer for {seconds:.0f} seconds: {cause}. Trials keep their "
                        "checkpoints; run the same command again when it is back."
                    ) from error
            LOG.warning(f"{self._what} does not answer ({cause}); trying again in {pause:g} seconds.")
            _pause(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)


@contextlib.contextmanager
def meanwhile(call: Callable[[], object]) -> Iterator[None]:
    """While entered, let whoever waits call this, a few times a second; what it raises ends the waiting."""
    _CALLS.append(call)
    try:
        yield
    finally:
        _CALLS.remove(call)


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Let whoever waits inside for an answer give up so many seconds from now.

    A call that is on its way is not broken off.

    Raises:
        JobError: somebody waited then.
    """
    end = time.monotonic() + seconds

    def give_up() -> None:
        if time.monotonic() > end:
            raise JobError(f"no answer within {seconds:.0f} seconds")

    with meanwhile(give_up):
        yield


def _pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        calls = _CALLS.copy()
        _CALLS.clear()  # what they call may have to wait, too
        try:
            for call in calls:
                call()
        finally:
            _CALLS.extend(calls)
        time.sleep(min(left, LOOK_UP_SECONDS))


def _first_line(error: BaseException) -> str:
    inner = error.__cause__ or error
    return (str(inner).strip().splitlines() or [type(inner).__name__])[0]
