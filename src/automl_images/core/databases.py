"""Addresses of databases: secrets come from the environment, and never reach a message."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from automl_images.core.errors import SettingsError

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PASSWORD = re.compile(r"(?<=://)([^:/]*):.*(?=@)|(?<=[?&])password=[^&]*", re.DOTALL)
"""Up to the last @: a password may hold any character, though an address should have it quoted."""


def filled_url(url: str) -> str:
    """Return an address with each `$NAME` replaced by that environment variable, quoted as addresses need it.

    Raises:
        SettingsError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SettingsError(f"The address {shown_url(url)} needs the environment variable {match[1]}; set it.")
        return quote(os.environ[match[1]], safe="")

    return _VARIABLE.sub(value, url)


def shown_url(url: str) -> str:
    """Return an address, or what was meant for one, for messages: without a password.

    Example:
        >>> shown_url("postgresql+pg8000://automl:secret@db.local:5432/studies")
        'postgresql+pg8000://automl@db.local:5432/studies'
    """
    if "://" not in url:
        return url.rpartition("@")[2]
    return _PASSWORD.sub(r"\1", url)
