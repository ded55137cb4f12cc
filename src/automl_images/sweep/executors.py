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
from typing import IO, Protocol

import psutil

from automl_images.sweep.trials import CONSOLE

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
WAIT = "--wait"
SPARE_BYTES = 2 * 1024**3
"""Memory that must be free for a spare process, which takes some 0.4 GiB."""


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


class NoProcess:
    """A trial whose process is gone or was not started yet."""

    def exit_code(self) -> int | None:
        """Return nothing: it is not known."""
        return None

    def interrupt(self) -> None:
        """Do nothing."""

    def kill(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""


class Executor(Protocol):
    """Starts trials."""

    slots: int
    """How many trials may run at once."""

    def start(self, folder: Path, slot: int) -> RunningTrial:
        """Start the process of the trial in `folder`; `slot` counts from 0 and is free."""

    def prepare(self, like: Path, slot: int) -> None:
        """Get ready to start another trial in `slot` when the one in `like` ends, as it soon will."""

    def close(self) -> None:
        """End what was prepared and not needed."""


class LocalExecutor:
    """Trials as processes of this machine; its cores and GPUs are dealt out to the slots.

    The process of a slot's next trial is started while the one before still runs: it takes seconds to import PyTorch
    and what else a trial needs. Such a spare gets its folder as a line on standard input.

    Args:
        slots: trials at once, at least 1.
        command: gives the command line of the process that trains the trial of a folder.
        environment: variables of each process (threads), added to the present ones.
        devices: names of the GPUs as in `CUDA_VISIBLE_DEVICES`; a slot gets its share, and with more slots than GPUs
            several slots share one.
        takes_spares: whether the command, with `--wait` after it, imports what a trial like the one in its folder
            needs, and then waits for the folder of the real one.
    """

    def __init__(
        self,
        slots: int,
        command: Callable[[Path], Sequence[str]],
        environment: Mapping[str, str],
        devices: Sequence[str] = (),
        takes_spares: bool = False,
    ) -> None:
        self.slots = slots
        self.command = command
        self.environment = dict(environment)
        self.devices = list(devices)
        self.takes_spares = takes_spares
        self._spares: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, folder: Path, slot: int) -> RunningTrial:
        """Start the process of the trial in `folder`."""
        spare = self._spares.pop(slot, None)
        if spare is not None and _hand_over(spare, folder):
            return _LocalTrial(spare)
        with (folder / CONSOLE).open("ab") as console:
            return _LocalTrial(self._process(self.command(folder), console, slot))

    def prepare(self, like: Path, slot: int) -> None:
        """Start a spare process for `slot`, unless there is one or memory is scarce."""
        if self.takes_spares and slot not in self._spares and psutil.virtual_memory().available > SPARE_BYTES:
            self._spares[slot] = self._process([*self.command(like), WAIT], subprocess.DEVNULL, slot)

    def close(self) -> None:
        """End the spare processes."""
        for spare in self._spares.values():
            spare.kill()
            spare.wait()
            _LocalTrial(spare).release()
        self._spares.clear()

    def _process(self, command: Sequence[str], console: IO[bytes] | int, slot: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            list(command),
            stdin=subprocess.PIPE,  # its end tells the trial that we are gone
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment, **self._device_variables(slot)},
            start_new_session=True,  # the terminal's Ctrl-C reaches us alone; we pass it on
        )

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


def _hand_over(spare: subprocess.Popen[bytes], folder: Path) -> bool:
    """Give a spare process the folder of its trial; False: it is gone."""
    assert spare.stdin is not None
    try:
        spare.stdin.write(os.fsencode(folder) + b"\n")
        spare.stdin.flush()
    except BrokenPipeError:
        spare.wait()
        return False
    return spare.poll() is None


def python_command(module: str) -> Callable[[Path], list[str]]:
    """Return the command line that runs `module` of this interpreter with a trial's folder."""
    return lambda folder: [sys.executable, "-m", module, str(folder)]


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; empty without CUDA."""
    import torch

    given = [name for name in os.environ.get(VISIBLE_DEVICES, "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return given[:count] if given else [str(index) for index in range(count)]
