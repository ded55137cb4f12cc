"""Who may write a study: one controller at a time, of whatever machine.

Owns the mark in the study; what the study holds besides belongs to `study.py`.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil

from automl_images.core.errors import BusyError
from automl_images.sweep.patience import Patience

if TYPE_CHECKING:
    import optuna

BEAT_SECONDS = 5.0
SETTLING_SECONDS = 1.0
"""After which a process looks whether another began at the same moment; far longer than reading and writing take."""
_HOLDER = "holder"
LOG = logging.getLogger(__name__)


class Holder:
    """Keeps a second controller, also of another machine, from writing the same study.

    The holder writes a counter every few seconds. Whoever wants the study watches it: a counter that moves is alive.
    No clocks are compared, so clocks may differ and jump. Who was silent too long, or began at the same moment as
    another, finds the other's name in the place of its own and gives way.

    Args:
        study: to be held.
        name: of the job, for messages.
        patiently: makes the calls of its database.
        is_shared: other machines may hold it too, which may even have our host's name, as containers do.
    """

    def __init__(self, study: optuna.Study, name: str, patiently: Patience, *, is_shared: bool) -> None:
        self._study, self._patiently, self._is_shared = study, patiently, is_shared
        started = psutil.Process().create_time()
        name_of_process = f"process {os.getpid()} on {platform.node()}"
        self._me = {"name": name_of_process, "host": platform.node(), "process": os.getpid(), "started": started}
        self._count, self._beaten = 0, 0.0
        self._name = name
        found = self._found()
        if found and self._is_alive(found):
            raise BusyError(
                f"Job {name} is being run by {found['name']}. Wait for it, stop it, or give another job_name."
            )
        self._write({**self._me, "count": 0})
        if is_shared:
            time.sleep(SETTLING_SECONDS)
        self.beat()

    def beat(self, patience: float | None = None) -> None:
        """Move the counter, at most every `BEAT_SECONDS`.

        Args:
            patience: seconds to wait for the database, as of `Patience`.

        Raises:
            BusyError: another process has taken the study over.
        """
        if time.monotonic() - self._beaten < BEAT_SECONDS and self._count:
            return
        found = self._found(patience)
        if not self._is_me(found):
            other = found["name"] if found else "another process, which has ended"
            raise BusyError(
                f"Job {self._name} was taken over by {other} while this process was silent or began at the same "
                "moment. Its running trials have saved their state."
            )
        self._count, self._beaten = self._count + 1, time.monotonic()
        self._write({**self._me, "count": self._count}, patience)

    def release(self) -> None:
        """Say that nobody holds the study, unless another does; wait for nothing.

        Raises:
            JobError: the database does not answer.
        """
        if self._is_me(self._found(patience=0.0)):
            self._write(None, patience=0.0)

    def _write(self, value: Any, patience: float | None = None) -> None:
        self._patiently(lambda: self._study.set_user_attr(_HOLDER, value), patience)

    def _found(self, patience: float | None = None) -> dict[str, Any] | None:
        return self._patiently(lambda: self._study.user_attrs, patience).get(_HOLDER)

    def _is_me(self, found: Mapping[str, Any] | None) -> bool:
        return found is not None and {**found, "count": 0} == {**self._me, "count": 0}

    def _is_alive(self, found: Mapping[str, Any]) -> bool:
        """Look for the process where it is of this machine, else watch the counter for three beats."""
        if self._is_me(found):
            return False
        if found["host"] == platform.node():
            if _runs(found["process"], found.get("started")):
                return True
            if not self._is_shared:
                return False
        LOG.info(
            f"{found['name']} held this job last; watching for {3 * BEAT_SECONDS:.0f} seconds whether it still does."
        )
        until = time.monotonic() + 3 * BEAT_SECONDS
        while time.monotonic() < until:
            if self._found() != found:
                return self._found() is not None
            time.sleep(BEAT_SECONDS / 5)
        return False


def _runs(process: int, started: float | None) -> bool:
    """Tell whether the process that began at a time still runs, and not another one of its number."""
    try:
        return started is not None and abs(psutil.Process(process).create_time() - started) < 1
    except psutil.Error:
        return False
