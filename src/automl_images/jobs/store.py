"""Jobs on disk: a run with a name, found again by what it was asked to do.

`<folder>/<job>/job.json` says what the job is and how far it came. Owns identity and status only; trials inside the
job's folder belong to `sweep/`. `<folder>/<job>/best_trial.json` says which of them was chosen as the best.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import random
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from automl_images.core.errors import BusyError, JobError, SettingsError, shown
from automl_images.core.files import read_json, write_json

try:
    import fcntl
except ImportError:  # Windows: two runs of one job are then the user's to avoid
    fcntl = None  # type: ignore[assignment]

RECORD, LOCK, CHOICE = "job.json", "lock", "best_trial.json"
OVER = {"Completed", "Failed"}
_HELD: dict[Path, IO[str]] = {}
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$")
_ADJECTIVES = (
    "amber",
    "brave",
    "calm",
    "clever",
    "crisp",
    "eager",
    "fair",
    "gentle",
    "keen",
    "lively",
    "neat",
    "quiet",
    "sunny",
)
_NOUNS = (
    "badger",
    "cedar",
    "crane",
    "falcon",
    "heron",
    "lark",
    "lynx",
    "maple",
    "otter",
    "raven",
    "robin",
    "willow",
    "wren",
)


@dataclasses.dataclass(slots=True)
class Job:
    """A job's record; `save` after each change.

    Attributes:
        name: unique among the jobs of a task.
        folder: holds the record and the trials.
        status: `Running` (also between the commands of a job that is run in parts), `Completed`, `Canceled` (stopped,
            by the user or by a surprise; it goes on) or `Failed` (nothing came of any trial; the same work begins anew,
            as another job).
        fingerprint: hash of parameters and data; equal fingerprints mean the same work.
        run_id: of the tracker's parent run.
        about: parameters and data hashes, for people.
        created: Unix seconds.
    """

    name: str
    folder: Path
    status: str
    fingerprint: str
    run_id: str | None
    about: dict[str, Any]
    created: float

    def save(self) -> None:
        """Write the record."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "folder"}
        write_json(self.folder / RECORD, values)

    def set_status(self, status: str) -> None:
        """Change the status and write the record."""
        self.status = status
        self.save()

    def choose(self, trial: int) -> None:
        """Write down which trial is the job's best; a file of its own, as processes hold the record for long."""
        write_json(self.folder / CHOICE, {"trial": trial})

    @property
    def chosen(self) -> int | None:
        """The trial that was chosen as the best; None: none was yet."""
        path = self.folder / CHOICE
        return int(read_json(path)["trial"]) if path.is_file() else None


class JobStore:
    """All jobs of one task, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hold(self) -> None:
        """Keep other processes from running any job of the task here, whose tables and results this one writes.

        Raises:
            BusyError: another process does; the message names it.
        """
        _hold(self.folder, f"Another job in {self.folder}", "give this run a data_root of its own")

    def jobs(self) -> list[Job]:
        """Return all jobs, newest first."""
        records = [self.get(path.parent.name) for path in self.folder.glob(f"*/{RECORD}")]
        return sorted(records, key=lambda job: (-job.created, job.name))

    def get(self, name: str) -> Job:
        """Return the job called `name`.

        Raises:
            JobError: there is none.
        """
        path = self.folder / name / RECORD
        if not path.is_file():
            known = ", ".join(sorted(p.parent.name for p in self.folder.glob(f"*/{RECORD}"))) or "none yet"
            raise JobError(f"There is no job {name!r} in {self.folder}. Known: {known}.")
        return Job(folder=path.parent, **read_json(path))

    def open(self, fingerprint: str, name: str | None, about: Mapping[str, Any]) -> tuple[Job, str]:
        """Return the job to work on, and one sentence about why it is that one.

        Without a name the newest unfinished job of the same fingerprint goes on, else a new one starts. A name starts
        a job of that name or goes on with it, whether finished or not. A job that failed never goes on.

        Raises:
            SettingsError: the name is not legal.
            JobError: it belongs to a job that failed or has other parameters or data, or another process runs the job.
        """
        job, sentence = self._choose(fingerprint, None if name is None else str(name), about)
        return _held(job), sentence

    def go_on(self, name: str) -> Job | None:
        """Return the job called `name` to work on; None: it is over, or there is none.

        Raises:
            BusyError: another process runs the job.
        """
        job = self.get(name) if (self.folder / name / RECORD).is_file() else None
        return None if job is None or job.status in OVER else _held(job)

    def _choose(self, fingerprint: str, name: str | None, about: Mapping[str, Any]) -> tuple[Job, str]:
        if name is not None:
            return self._open_named(fingerprint, name, about)
        same = [job for job in self.jobs() if job.fingerprint == fingerprint]
        unfinished = [job for job in same if job.status not in OVER]
        if unfinished:
            return unfinished[0], f"Job {unfinished[0].name}: goes on, it was not finished (same parameters and data)."
        job = self._create(fingerprint, self._free_name(), about)
        if same and same[0].status == "Failed":
            return job, f"Job {job.name}: new, as nothing came of the trials of {same[0].name}."
        if same:
            return (
                job,
                f"Job {job.name}: new; {same[0].name} did this and is finished (job_name={same[0].name} reuses it).",
            )
        return job, f"Job {job.name}: new."

    def _open_named(self, fingerprint: str, name: str, about: Mapping[str, Any]) -> tuple[Job, str]:
        check_name(name)
        if not (self.folder / name / RECORD).is_file():
            return self._create(fingerprint, name, about), f"Job {name}: new, named by job_name."
        job = self.get(name)
        if job.fingerprint != fingerprint:
            raise JobError(
                f"Job {name} exists with other {_difference(job.about, about)}. "
                "Choose another job_name, or leave it out to start a new job."
            )
        if job.status == "Failed":
            raise JobError(
                f"Job {name} failed: nothing came of its trials ({job.folder}). Choose another job_name, or leave it "
                "out, to begin anew."
            )
        verb = "is finished; its trials are kept and not run again" if job.status == "Completed" else "goes on"
        return job, f"Job {name}: {verb}."

    def _create(self, fingerprint: str, name: str, about: Mapping[str, Any]) -> Job:
        job = Job(name, self.folder / name, "Running", fingerprint, None, dict(about), round(time.time(), 3))
        job.save()
        return job

    def _free_name(self) -> str:
        chance = random.SystemRandom()
        while True:
            name = f"{chance.choice(_ADJECTIVES)}_{chance.choice(_NOUNS)}_{chance.getrandbits(24):06x}"
            if not (self.folder / name).exists():
                return name


def check_name(name: str) -> None:
    """Refuse a name of a job that cannot be the name of a folder everywhere.

    Raises:
        SettingsError: it is not legal.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            "job_name must have letters, digits, '-' and '_' only, 255 at most, and start with a letter or digit; "
            f"got {shown(name)}."
        )


def _held(job: Job) -> Job:
    _hold(job.folder, f"Job {job.name}", "give another job_name")
    job.set_status("Running")
    return job


def _hold(folder: Path, what: str, way_out: str) -> None:
    """Keep others from what lies in a folder as long as this process lives; the system lets go when it ends, however.

    Raises:
        BusyError: another process holds it.
    """
    path = folder / LOCK
    if path in _HELD or fcntl is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        owner = stream.read().strip() or "another process"
        stream.close()
        raise BusyError(f"{what} is being run by {owner}. Wait for it, stop it, or {way_out}.") from None
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {platform.node()}")
    stream.flush()
    _HELD[path] = stream


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return ", ".join(changed) or "parameters or data"
