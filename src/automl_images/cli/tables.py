"""Where commands print their tables."""

from __future__ import annotations

from rich.console import Console

FILE_WIDTH = 200


def table_console() -> Console:
    """Return a console as wide as the terminal; into a file or pipe, where nothing need fold, a wide one."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)
