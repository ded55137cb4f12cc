"""MLflow's store: a client that waits while the store does not answer, and which errors mean that."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from automl_images.core.databases import shown_url
from automl_images.core.files import replacing
from automl_images.sweep.patience import OPENING_PATIENCE, Patience, is_outage_of_database

T = TypeVar("T")
_PASSING = {"TEMPORARILY_UNAVAILABLE", "RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"}
_STATUS_IN_TEXT = re.compile(r"error code (429|5\d\d)")
_REQUESTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""MLflow's own patience with a server, minutes without a word, is ours: unless the user has set it."""


class PatientClient:
    """MLflow's client, each call of which waits for a store that does not answer.

    Trials go on meanwhile, and what they tell is recorded afterwards.

    Args:
        uri: of the store.
        file: that it is, where it is one.
    """

    def __init__(self, uri: str, file: Path | None) -> None:
        for name, value in _REQUESTS.items():
            os.environ.setdefault(name, value)
        self._patiently = Patience(f"MLflow's store {shown_url(uri)}", file, is_outage)

        def opened() -> Any:
            if file is not None and not file.exists():
                with replacing(file) as made:  # whole or not at all: MLflow cannot open what has half of its tables
                    _asked(f"sqlite:///{made.absolute().as_posix()}")
            return _asked(uri)

        with quiet():
            self._client = self._patiently(opened, OPENING_PATIENCE)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)
        return lambda *args, **options: self.patiently(lambda _: call(*args, **options))

    def patiently(self, call: Callable[[Any], T]) -> T:
        """Return what `call` makes of MLflow's own client; it may be repeated."""
        with quiet():
            return self._patiently(lambda: call(self._client))

    def once(self, make: Callable[[Any], T], find: Callable[[Any], T | None]) -> T:
        """Return what `make` makes, once: where an attempt got no answer, `find` looks whether it came through."""
        attempts: list[int] = []

        def attempt(client: Any) -> T:
            found = find(client) if attempts else None
            attempts.append(1)
            return make(client) if found is None else found

        return self.patiently(attempt)


def _asked(uri: str) -> Any:
    """Return a client whose store was asked for something, which makes the tables of a new one."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, is of a store that may answer again."""
    import requests
    from mlflow.exceptions import MlflowException, RestException

    if error is None:
        return False
    if isinstance(error, requests.HTTPError):
        status = 0 if error.response is None else error.response.status_code
        return status == 429 or status >= 500
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return True
    if isinstance(error, RestException) and error.error_code == "INTERNAL_ERROR":
        return True  # the server's own trouble, of its database for example
    if isinstance(error, MlflowException) and (error.error_code in _PASSING or _STATUS_IN_TEXT.search(str(error))):
        return True
    return is_outage_of_database(error) or is_outage(error.__cause__ or error.__context__)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the migration chatter of a new store, the flavours' hints, and tracebacks of what is ours to tell."""
    levels = {"alembic": logging.ERROR, "mlflow": logging.ERROR, "mlflow.models.model": logging.ERROR}
    levels["mlflow.store.db.utils"] = logging.CRITICAL
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
