"""Where trials run: an executor starts the process of a trial's folder and says whether it is still there.

Everything else goes through files in the folder (request, events, stop, result), so that an executor on a cluster needs
a shared folder and these four calls.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from automl_images.sweep.trials import CONSOLE

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


class RunningTrial(Protocol):
    """The process of one trial."""

    def exit_code(self) -> int | None:
        """Return the exit code, negative for the signal that ended it; None while it runs."""

    def interrupt(self) -> None:
        """Ask it to save its state and leave (SIGTERM)."""

    def kill(self) -> None:
        """End it at once and wait until it is gone."""

    def release(self) -> None:
        """Let go of what belongs to a process that has ended."""


class Executor(Protocol):
    """Starts trials."""

    slots: int
    """How many trials may run at once."""

    def start(self, folder: Path, slot: int) -> RunningTrial:
        """Start the process of the trial in `folder`; `slot` counts from 0 and is free."""


class LocalExecutor:
    """Trials as processes of this machine; its cores and GPUs are dealt out to the slots.

    Args:
        slots: trials at once, at least 1.
        command: gives the command line of the process that trains the trial of a folder.
        environment: variables of each process (threads), added to the present ones.
        devices: names of the GPUs as in `CUDA_VISIBLE_DEVICES`; a slot gets its share, and with more slots than GPUs
            several slots share one.
    """

    def __init__(
        self,
        slots: int,
        command: Callable[[Path], Sequence[str]],
        environment: Mapping[str, str],
        devices: Sequence[str] = (),
    ) -> None:
        self.slots = slots
        self.command = command
        self.environment = dict(environment)
        self.devices = list(devices)

    def start(self, folder: Path, slot: int) -> RunningTrial:
        """Start the process of the trial in `folder`."""
        with (folder / CONSOLE).open("ab") as console:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                list(self.command(folder)),
                stdin=subprocess.PIPE,  # its end tells the trial that we are gone
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **self._device_variables(slot)},
                start_new_session=True,  # the terminal's Ctrl-C reaches us alone; we pass it on
            )
        return _LocalTrial(process)

    def _device_variables(self, slot: int) -> dict[str, str]:
        if not self.devices:
            return {}
        share = self.devices[slot :: self.slots] or [self.devices[slot % len(self.devices)]]
        return {VISIBLE_DEVICES: ",".join(share)}


class _LocalTrial:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def exit_code(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def release(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()


def python_command(module: str) -> Callable[[Path], list[str]]:
    """Return the command line that runs `module` of this interpreter with a trial's folder."""
    return lambda folder: [sys.executable, "-m", module, str(folder)]


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; empty without CUDA."""
    import torch

    given = [name for name in os.environ.get(VISIBLE_DEVICES, "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return given[:count] if given else [str(index) for index in range(count)]
