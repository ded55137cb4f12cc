"""The database that studies are kept in: its address, and opening it with Optuna's tables."""

from __future__ import annotations

import contextlib
import inspect
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from automl_images.core.databases import filled_url, shown_url
from automl_images.core.errors import JobError, SettingsError, shown

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

ATTEMPTS = 30
"""More than there are tables to make: whoever finds that another has made one sees it at the next attempt."""
_NO_DRIVER = re.compile(r"postgres(ql)?://")
"""What people write for PostgreSQL; the driver is the one that our extra installs."""


def checked_url(url: object) -> str:
    """Return an address of a database with its secrets filled in; nothing is connected.

    Args:
        url: the parameter `study_storage`.

    Raises:
        SettingsError: it is no address, names a kind of database or a driver that is not here, or lacks a secret.
    """
    if isinstance(url, str):
        filled = _NO_DRIVER.sub("postgresql+pg8000://", filled_url(url), count=1)
        mistake = _mistake(filled)
        if mistake is None:
            return filled
        got = f"{shown(shown_url(url))}: {mistake}"
    else:
        got = f"{shown(url)}."
    raise SettingsError(
        "study_storage must be the address of a database, such as postgresql+pg8000://$USER:$PASSWORD@host:5432/name "
        f"or sqlite:////folder/name.db, or null for a file beside the trials; got {got}"
    )


def _mistake(url: str) -> str | None:
    """Return what is wrong with an address, without any part of it that may be of the password."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        engine = create_engine(url)
        arguments, options = engine.dialect.create_connect_args(engine.url)
        with contextlib.suppress(ValueError):  # sqlite3 does not say what it takes
            inspect.signature(engine.dialect.loaded_dbapi.connect).bind(*arguments, **options)
    except ArgumentError as error:
        kind = url.partition("://")[0]
        is_address = isinstance(error, NoSuchModuleError)
        return f"no kind of database is called {kind!r} here." if is_address else "this is no address."
    except ImportError as error:
        extra = ": pip install 'automl-images[postgres]'" if error.name == "pg8000" else ""
        return f"its driver {error.name} is not installed{extra}."
    except ValueError:
        return "its port, or another number in it, is no number."
    except TypeError as error:  # a user is missing, or the driver does not know an option
        return f"its driver cannot take it ({error})."
    if not 0 < (engine.url.port or 1) < 2**16:
        return "its port must lie in [1, 65535]."
    return f"its driver {engine.dialect.driver} is for asynchronous programs." if engine.dialect.is_async else None


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

    is_file = url.startswith("sqlite")
    return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True})


def _was_made_meanwhile(error: Exception) -> bool:
    """Tell whether a table, or the row that says its version, is there by now; PostgreSQL calls both a double key."""
    from sqlalchemy.exc import IntegrityError

    return isinstance(error, IntegrityError) or "already exists" in str(error)
