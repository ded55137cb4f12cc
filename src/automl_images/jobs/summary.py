"""The words a run ends with: what came of it, where it lies, what to type next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog


def closing_words(task: str, result: dict[str, Any], catalog: DataCatalog, seconds: float) -> str:
    """Return the summary of a finished run.

    Args:
        task: pipeline name.
        result: content of `<task>.registered_model`.
        catalog: to look up where files lie.
        seconds: since the run began.
    """
    report = _path(catalog, f"{task}.report")
    model = _path(catalog, f"{task}.onnx_model").parent
    lines = [
        "",
        f"  job        {result['job']} · {seconds / 60:.1f} minutes · {result['trials']} trial(s)",
        f"  best       {result['model_name']} (trial {result['trial']}): "
        f"{result['primary_metric']} {result['metric']:.4f}{_interval(result)}",
        *_comparison(result),
        f"  model      {model} (model.onnx, parity with torch passed)",
        f"  registered {result['registered_model']} version {result['version']}{_before(result)}{_champion(result)}",
        f"  report     {report}",
        "  next       open the report · kedro mlflow ui · kedro viz",
    ]
    return "\n".join(lines)


def resume_words(error: BaseException, run_params: dict[str, Any]) -> str:
    """Return how to go on after an error or an interruption."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return f"{type(error).__name__}: the run stopped. What is done is kept; the same command goes on: {command}"


def _path(catalog: DataCatalog, name: str) -> Path:
    return Path(str(catalog[name]._describe()["filepath"]))


def _interval(result: dict[str, Any]) -> str:
    interval = result.get("interval")
    return f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""


def _comparison(result: dict[str, Any]) -> list[str]:
    comparison = result.get("comparison")
    return [f"             {comparison['sentence']}"] if comparison else []


def _before(result: dict[str, Any]) -> str:
    return " (it was there already)" if result["registered_before"] else ""


def _champion(result: dict[str, Any]) -> str:
    if result["champion"]:
        return ", now the champion"
    return f"; version {result['champion_version']} stays the champion: {result['reason']}"
