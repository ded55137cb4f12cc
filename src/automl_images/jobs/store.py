"""Jobs on disk: a run with a name, found again by what it was asked to do.

`<folder>/<job>/job.json` says what the job is and how far it came. Owns identity and status only; trials inside the
job's folder belong to `sweep/`.
"""

from __future__ import annotations

import dataclasses
import random
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_images.core.errors import JobError
from automl_images.core.files import read_json, write_json

RECORD = "job.json"
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
        status: `Running`, `Completed`, `Failed` or `Canceled`.
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


class JobStore:
    """All jobs of one task, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
        a job of that name or goes on with it, whether finished or not.

        Raises:
            JobError: the name is not legal, or belongs to a job with other parameters or data.
        """
        if name is not None:
            return self._open_named(fingerprint, name, about)
        same = [job for job in self.jobs() if job.fingerprint == fingerprint]
        unfinished = [job for job in same if job.status != "Completed"]
        if unfinished:
            unfinished[0].set_status("Running")
            return unfinished[0], f"Job {unfinished[0].name}: goes on, it was not finished (same parameters and data)."
        job = self._create(fingerprint, self._free_name(), about)
        if same:
            return (
                job,
                f"Job {job.name}: new; {same[0].name} did this and is finished (job_name={same[0].name} reuses it).",
            )
        return job, f"Job {job.name}: new."

    def _open_named(self, fingerprint: str, name: str, about: Mapping[str, Any]) -> tuple[Job, str]:
        if not _NAME.match(name):
            raise JobError(
                f"A job name has letters, digits, '-' and '_' and starts with a letter or digit, got {name!r}."
            )
        if not (self.folder / name / RECORD).is_file():
            return self._create(fingerprint, name, about), f"Job {name}: new, named by job_name."
        job = self.get(name)
        if job.fingerprint != fingerprint:
            raise JobError(
                f"Job {name} exists with other {_difference(job.about, about)}. "
                "Choose another job_name, or leave it out to start a new job."
            )
        verb = "is finished; its trials are kept and not run again" if job.status == "Completed" else "goes on"
        job.set_status("Running")
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


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return ", ".join(changed) or "parameters or data"
