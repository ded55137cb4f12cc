"""How this program is called in the user's shell, for commands that are printed to be typed again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

UNDER_UV = "UV_RUN_RECURSION_DEPTH"
"""Set by `uv run` alone; under it `kedro` is on the PATH of this process, but not on that of the user's shell."""

_MODULE = "python -m kedro"  # what kedro/__main__.py writes into sys.argv


def kedro_command() -> str:
    """Return what the user types for `kedro`."""
    started_it = sys.argv[0] == _MODULE or Path(sys.argv[0]).stem == "kedro"
    words = _words() if started_it else ["kedro"]
    return shlex.join(["uv", "run", "kedro"] if UNDER_UV in os.environ else words)


def own_command() -> str:
    """Return the command that started this process."""
    under_uv = ["uv", "run"] if UNDER_UV in os.environ else []
    return shlex.join([*under_uv, *_words(), *sys.argv[1:]])


def _words() -> list[str]:
    """Return the program without its arguments."""
    if sys.argv[0] == _MODULE:
        return ["python" if UNDER_UV in os.environ else _typed(sys.executable), "-m", "kedro"]
    return [Path(sys.argv[0]).name if UNDER_UV in os.environ else _typed(sys.argv[0])]


def _typed(program: str) -> str:
    """Return the name of a program where the shell finds it by its name, else its path."""
    path = Path(program).absolute()
    found = shutil.which(path.name)
    if found and Path(found).absolute() == path:
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
