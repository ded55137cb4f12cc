"""The database that studies are kept in: opening it, with Optuna's tables made where they are missing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from automl_images.core.errors import JobError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

ATTEMPTS = 30
"""More than there are tables to make: whoever finds that another has made one sees it at the next attempt."""


def sqlite_url(path: Path) -> str:
    """Return the URL of a study's own file, made ready for readers beside the writer (WAL).

    Raises:
        JobError: the file is no database.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with sqlite3.connect(path, timeout=60) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    except sqlite3.DatabaseError as error:
        raise JobError(
            f"{path} cannot be used as the study of this job ({error}). Move it away or give another job_name."
        ) from error
    return f"sqlite:///{path.as_posix()}"


def open_storage(url: str) -> RDBStorage:
    """Return Optuna's storage in a database, which other controllers may begin to use at the same moment.

    Optuna looks which tables are missing and makes them; of several that do so at once, all but one are refused.

    Raises:
        JobError: the driver of the database is not installed.
    """
    from sqlalchemy.exc import DBAPIError

    for _ in range(ATTEMPTS):
        try:
            return _storage(url)
        except DBAPIError as error:
            if not _was_made_meanwhile(error):
                raise
    return _storage(url)


def _storage(url: str) -> RDBStorage:
    from optuna.storages import RDBStorage

    if url.startswith("sqlite"):
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        raise JobError(
            f"The database {url.rsplit('@', maxsplit=1)[-1]} needs a driver: pip install 'automl-images[postgres]'."
        ) from error


def _was_made_meanwhile(error: Exception) -> bool:
    """Tell whether a table, or the row that says its version, is there by now; PostgreSQL calls both a double key."""
    from sqlalchemy.exc import IntegrityError

    return isinstance(error, IntegrityError) or "already exists" in str(error)
