"""The words a run ends with: what came of it, where it lies, what to type next."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog

from automl_images.core.commands import kedro_command, own_command
from automl_images.core.errors import DataError, ModelError, ParityError, SettingsError, TimeIsUpError
from automl_images.datasets.base import unwrapped

_NOT_CURED = (SettingsError, DataError, ModelError, ParityError)
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def closing_words(task: str, result: dict[str, Any], catalog: DataCatalog, seconds: float) -> str:
    """Return the summary of a finished run.

    Args:
        task: pipeline name.
        result: content of `<task>.registered_model`.
        catalog: to look up where files lie.
        seconds: since the run began.
    """
    report = _path(catalog, f"{task}.report")
    kedro = kedro_command()
    model = _path(catalog, f"{task}.onnx_model").parent
    lines = [
        "",
        f"  job        {result['job']} · {seconds / 60:.1f} minutes · {result['trials']} trial(s)",
        f"  best       {result['model_name']} (trial {result['trial']}): "
        f"{result['primary_metric']} {result['metric']:.4f}{_interval(result)}",
        *_comparison(result),
        *_ended_early(result),
        f"  model      {model} (model.onnx, parity with torch passed)",
        f"  registered {result['registered_model']} version {result['version']}{_before(result)}{_champion(result)}",
        f"  report     {report}",
        f"  next       open the report · {kedro} mlflow ui · {kedro} viz",
    ]
    return "\n".join(lines)


def resume_words(error: BaseException) -> str | None:
    """Return how to go on after an error or an interruption; None where the same command would end the same way."""
    error = unwrapped(error)
    if isinstance(error, _NOT_CURED) or (isinstance(error, OSError) and error.errno in _NOT_WRITABLE):
        return None
    how = "with a larger limits.timeout_minutes " if isinstance(error, TimeIsUpError) else ""
    return (
        f"{type(error).__name__}: the run stopped. What is done is kept; {how}the same command goes on: {own_command()}"
    )


def _path(catalog: DataCatalog, name: str) -> Path:
    return Path(str(catalog[name]._describe()["filepath"]))


def _interval(result: dict[str, Any]) -> str:
    interval = result.get("interval")
    return f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""


def _comparison(result: dict[str, Any]) -> list[str]:
    comparison = result.get("comparison")
    return [f"             {comparison['sentence']}"] if comparison else []


def _ended_early(result: dict[str, Any]) -> list[str]:
    return [f"             the sweep ended early: {result['sweep_ended']}"] if result.get("sweep_ended") else []


def _before(result: dict[str, Any]) -> str:
    return " (it was there already)" if result["registered_before"] else ""


def _champion(result: dict[str, Any]) -> str:
    if result["champion"]:
        return ", the champion" if result["registered_before"] else ", now the champion"
    return f"; version {result['champion_version']} stays the champion: {result['reason']}"
