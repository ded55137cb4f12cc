"""The command that repeats a run, from the parameters that differ from the defaults."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from automl_images.core.commands import kedro_command

_PLAIN = re.compile(r"[\w./:@ +~-]+")


def reproduce(task: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return `command`, and `parameters`: the YAML that it needs in a file, empty where the command alone is enough.

    Args:
        task: pipeline name.
        options: the job's parameters without defaults; `task` is skipped.
    """
    values = {key: value for key, value in options.items() if key != "task" and value not in (None, {}, [])}
    pairs = list(_flat(values, task))
    command = f"{kedro_command()} run --pipeline={task}"
    if not all(_fits_command(value) for _, value in pairs):
        return {"command": command, "parameters": yaml.safe_dump({task: values}, sort_keys=False, allow_unicode=True)}
    settings = ",".join(f"{key}={_text(value)}" for key, value in pairs)
    return {"command": f"{command} --params {shlex.quote(settings)}" if settings else command, "parameters": ""}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, value


def _fits_command(value: Any) -> bool:
    """Tell whether kedro reads the value back from `--params` as it is: no commas, no text that looks like a number."""
    if isinstance(value, str):
        return bool(_PLAIN.fullmatch(value)) and value == value.strip() and _is_text(value)
    return value is None or isinstance(value, bool | int | float)


def _is_text(value: str) -> bool:
    """Tell whether YAML takes a text for a text; `1e-3` is a number to kedro, though not to PyYAML."""
    try:
        float(value)
    except ValueError:
        pass
    else:
        return False
    try:
        return bool(yaml.safe_load(value) == value)
    except yaml.YAMLError:
        return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(value).splitlines()[0]
