"""Kedro's configuration loader, which says of a mistake in `conf/` which file, line and key it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from automl_images.core.errors import SettingsError, shown


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader with plain errors."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the merged configuration of a kind (`parameters`, `catalog`, …).

        Raises:
            SettingsError: a file is not YAML, repeats a key, or gives a list for a mapping.
        """
        try:
            return super().__getitem__(key)
        except (yaml.YAMLError, OmegaConfBaseException, TypeError, ValueError, AttributeError, OSError) as error:
            raise SettingsError(self._mistake(key) or f"The configuration {key!r} is not valid: {error}") from error

    def _mistake(self, key: str) -> str | None:
        """Read the files one by one, as Kedro does, and return what is wrong with the first bad one."""
        earlier: list[dict[str, Any]] = []
        for name, values in self._layers(key):
            if isinstance(values, str):
                return f"{name}{values}"
            clashes = [clash for layer in earlier for clash in _clashes(layer, values)]
            if clashes and key == "parameters":  # the others are replaced, not merged
                return f"{name}: {clashes[0]}"
            earlier.append(values)
        return None

    def _layers(self, key: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """Yield the name of each file with its values, or with the line and message of its mistake."""
        environments = dict.fromkeys([self.base_env, self.env or self.default_run_env])
        for environment in environments:
            folder = Path(self.conf_source) / str(environment)
            files = {file for pattern in self.config_patterns[key] for file in folder.glob(pattern) if file.is_file()}
            for file in sorted(file for file in files if file.suffix in {".yml", ".yaml", ".json"}):
                yield str(file), _content(file)
        if key == "parameters" and self.runtime_params:
            yield "--params", dict(self.runtime_params)


def _content(file: Path) -> dict[str, Any] | str:
    try:
        values = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        began = f" ({error.context}, line {error.context_mark.line + 1})" if error.context_mark else ""
        return f"{line} is not valid YAML: {error.problem}{began}."
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        return f" cannot be read: {error}"
    return {str(k): v for k, v in values.items()} if isinstance(values, dict) else ": expected keys, got a list."


def _clashes(lower: Mapping[str, Any], upper: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the keys under which one layer has a mapping and the other a list."""
    for key in (key for key in upper if key in lower):
        kinds = isinstance(lower[key], Mapping), isinstance(upper[key], Mapping)
        if all(kinds):
            yield from _clashes(lower[key], upper[key], f"{path}{key}.")
        elif any(kinds) and (isinstance(lower[key], list) or isinstance(upper[key], list)):
            expected = "keys with values" if kinds[0] else "a list"
            yield f"{path}{key} must be {expected}, got {shown(upper[key])}."
