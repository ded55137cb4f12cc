"""Runs of the whole project, as a user would type them, with parameters of a benchmark and data of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent


class RunFailed(Exception):
    """A run ended with an error; the text holds the end of what it printed."""


def kedro_run(
    task: str,
    parameters: Mapping[str, Any],
    root: Path,
    options: Sequence[str] = (),
    *,
    quiet: bool = False,
    portfolio: Mapping[str, Any] | None = None,
) -> Path:
    """Run a pipeline and return its data folder.

    Args:
        task: the pipeline.
        parameters: merged over those of `conf/base`, below the task's name.
        root: an empty folder for configuration and data.
        options: further ones of `kedro run`.
        quiet: keep to ourselves what it prints, unless it fails.
        portfolio: by task, instead of the committed recipes.

    Raises:
        RunFailed: it ended with an error.
    """
    conf, data = root / "conf", root / "data"
    shutil.copytree(PROJECT / "conf", conf)
    (conf / "local").mkdir(exist_ok=True)
    text = json.dumps({task: parameters, **({"portfolio": portfolio} if portfolio else {})}, default=str)
    (conf / "local" / "parameters_benchmark.yml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "kedro", "run", f"--pipeline={task}", "--conf-source", str(conf)]
    command += ["--params", f"data_root={data}", *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=quiet, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"{done.stdout or ''}{done.stderr or ''}"[-4000:] or f"exit code {done.returncode}")
    return data


def folder(text: str) -> Path:
    """Return a folder given on the command line; runs have another working directory."""
    return Path(text).resolve()


def located(source: Mapping[str, Any], data: Path | None) -> dict[str, Any]:
    """Return a source with its paths made absolute: those below the folder of data sets `data`."""
    return {name: (data or Path()) / value if name in {"path", "images"} else value for name, value in source.items()}
