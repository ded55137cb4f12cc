"""The one hierarchy of errors that a user may see.

Every message says what was expected, what came, and what to do. The command line prints the message of an
`AutoMLImagesError` without a traceback; anything else that escapes is a bug of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutoMLImagesError(Exception):
    """Base of all errors caused by input, settings or surroundings rather than by a bug."""

    exit_code = 1


class SettingsError(AutoMLImagesError):
    """A parameter, hyper-parameter or option is unknown, out of range or contradicts another."""

    exit_code = 2


class DataError(AutoMLImagesError):
    """The user's images or annotations cannot be used as they are."""


class ModelError(AutoMLImagesError):
    """A model cannot be built, its weights cannot be loaded, or it cannot be exported."""


class TrainingError(AutoMLImagesError):
    """Training cannot go on (non-finite loss, nothing to train on)."""


class MemoryExhaustedError(TrainingError):
    """Not even a single image fits into memory, which other trainings may meet too."""


class ParityError(AutoMLImagesError):
    """An exported model does not give the results of the model that it was exported from."""


class JobError(AutoMLImagesError):
    """A job cannot be started, resumed or found."""


class BusyError(JobError):
    """Another process runs the job."""

    exit_code = 75


class DiskFullError(AutoMLImagesError):
    """Nothing more fits on a disk; what was written before is untouched."""

    exit_code = 74


class Interrupted(AutoMLImagesError):
    """The user stopped the run; state was saved."""

    exit_code = 130


class TimeIsUpError(Interrupted):
    """A job's time was used before anything came of it; with more time the same command goes on."""

    exit_code = 1


def shown(value: object) -> str:
    """Return what came as it is typed, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest known name, or an empty string when none is close.

    `lr` is close to `learning_rate`, too.
    """
    names = [str(k) for k in known]
    abbreviated = [k for k in names if str(name) == "".join(word[:1] for word in k.split("_"))]
    match = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5) or abbreviated
    return f" Did you mean {match[0]!r}?" if match else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not among the known ones."""
    names = sorted(str(k) for k in known)
    return f"Unknown {kind} {name!r}.{nearest(name, names)} Known: {', '.join(names)}."
