"""Search spaces: the grammar of a job file (specification D.4), its checks, and asking a trial for a configuration.

A space is a list of conditional dictionaries, here branches; a trial first draws one of them, then a value for each of
its keys. Values are literals, `{type: uniform, …}` mappings or the text form `uniform(0.1, 1)`. Names, types and ranges
come from the table in `core/hyperparameters`; what the distributions mean stands in `distributions.py`; which values
are tried is left to `samplers/`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.hyperparameters import TABLE, Hyperparameter, find
from automl_images.sweep.building import Range, build, check_fields, choice
from automl_images.sweep.distributions import FIELDS, WHOLE, Choice, Distribution

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

BRANCH = "search_space"
"""Name in the study of the number of the branch; asked only where there are several."""

_MODEL = Hyperparameter("model_name", "text", "The model.")
_SPELLINGS = ("model_name", *(spelling for row in TABLE for spelling in (row.name, *row.aliases)))
_TEXT_FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_WORD = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,'"]*))\s*(?:,|$)""")


@dataclasses.dataclass(frozen=True)
class Branch:
    """One conditional dictionary.

    Attributes:
        fixed: literals, by hyper-parameter.
        sampled: distributions, by hyper-parameter, in the order of the file.
        names: what these are called in the study.
    """

    fixed: dict[str, Any]
    sampled: dict[str, Distribution]
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def models(self) -> tuple[Any, ...]:
        """Return the model names that can be drawn; empty: the branch names none."""
        chosen = self.sampled.get("model_name")
        return chosen.ends() if chosen else tuple(v for k, v in self.fixed.items() if k == "model_name")


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """What the trials of a sweep may try; without branches there is nothing to search.

    Attributes:
        branches: the conditional dictionaries.
        parameters: every distribution under its name in the study, the choice of the branch first.
    """

    branches: tuple[Branch, ...]
    parameters: dict[str, Distribution]

    @classmethod
    def parse(cls, given: Sequence[Any] | Mapping[str, Any] | None, log_base: float = math.e) -> SearchSpace:
        """Return the space that a job file describes.

        Args:
            given: list of conditional dictionaries; one dictionary counts as a list of one.
            log_base: of the sampling algorithm (`logbase`).

        Raises:
            SettingsError: the first mistake, with its path, for example `search_space[1].learning_rate`.
        """
        if isinstance(given, str) or not isinstance(given, Sequence | Mapping | None):
            raise SettingsError(f"search_space must be a list of dictionaries, got {given!r}.")
        items = [given] if isinstance(given, Mapping) else list(given or [])
        branches = [_branch(f"search_space[{index}]", item, log_base) for index, item in enumerate(items)]
        parameters: dict[str, Distribution] = {}
        if len(branches) > 1:
            parameters[BRANCH] = Choice(tuple(range(len(branches))))
        for index, branch in enumerate(branches):
            for name, distribution in branch.sampled.items():
                alike = all(b.sampled.get(name, distribution) == distribution for b in branches)
                branch.names[name] = name if alike else f"search_space[{index}].{name}"
                parameters[branch.names[name]] = distribution
        return cls(tuple(branches), parameters)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Return the configuration of a trial: its branch first, then the branch's hyper-parameters.

        Returns:
            Canonical names to parsed values; a value is None where the job file says null, "not given".
        """
        if not self.branches:
            return {}
        branch = self.branches[self.parameters[BRANCH].suggest(trial, BRANCH) if BRANCH in self.parameters else 0]
        return branch.fixed | {n: d.suggest(trial, branch.names[n]) for n, d in branch.sampled.items()}

    def examples(self) -> Iterator[dict[str, Any]]:
        """Yield configurations to check before the first trial, so that none fails for its values in the night.

        For each branch and model: all hyper-parameters at their lowest, then each alone at each of its other ends, so
        that every end of one meets the lowest of all others.
        """
        for branch in self.branches:
            ends = {name: _ascending(d.ends()) for name, d in branch.sampled.items() if name != "model_name"}
            lowest = branch.fixed | {name: values[0] for name, values in ends.items()}
            for model in branch.models or (None,):
                base = lowest if model is None else {**lowest, "model_name": model}
                yield base
                yield from ({**base, name: value} for name, values in ends.items() for value in values[1:])

    @property
    def size(self) -> int | None:
        """Return how many configurations there are; None where something else than a choice is drawn."""
        if not all(isinstance(d, Choice) for d in self.parameters.values()):
            return None
        return sum(math.prod(len(d.ends()) for d in branch.sampled.values()) for branch in self.branches)


def _ascending(values: tuple[Any, ...]) -> list[Any]:
    numbers = all(isinstance(v, int | float) for v in values)
    return sorted(values) if numbers else list(values)


def _branch(path: str, given: Any, log_base: float) -> Branch:
    if not isinstance(given, Mapping):
        raise SettingsError(f"{path} must be a dictionary of hyper-parameters, got {given!r}.")
    if not given:
        raise SettingsError(f"{path} is empty; give at least one hyper-parameter.")
    fixed: dict[str, Any] = {}
    sampled: dict[str, Distribution] = {}
    for spelling, value in given.items():
        try:
            row = _row(str(spelling))
            if row.name in fixed or row.name in sampled:
                raise SettingsError(f"{row.name} is given twice, under two spellings; keep one.")
            form = _form(value)
            if form is None:
                fixed[row.name] = _literal(row, value)
            else:
                sampled[row.name] = _distribution(row, *form, log_base)
        except SettingsError as error:
            raise SettingsError(f"{path}.{spelling}: {error}") from None
    return Branch(fixed, sampled)


def _row(name: str) -> Hyperparameter:
    if name != "model_name" and name not in _SPELLINGS:
        raise SettingsError(f"Unknown hyper-parameter.{nearest(name, _SPELLINGS)} See docs/hyperparameters.md.")
    row = _MODEL if name == "model_name" else find(name)
    if row.kind == "json":
        raise SettingsError(f"{name} holds for the whole job; put it into training_parameters.")
    return row


def _form(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the arguments of a distribution, or None for a literal."""
    if isinstance(value, str) and (match := _TEXT_FORM.fullmatch(value)):
        kind, words = match[1], _words(match[2])
        fields = FIELDS.get(kind, ())
        if kind in FIELDS and kind != "choice" and len(words) != len(fields):
            raise SettingsError(f"{kind} takes {', '.join(fields)}, got ({match[2]}).")
        arguments = {"values": words} if kind == "choice" else dict(zip(fields, words, strict=False))
    elif isinstance(value, Mapping):
        if "type" not in value:
            raise SettingsError(f"expected a literal or {{type: uniform, …}}, got {dict(value)!r} without type.")
        kind = str(value["type"])
        arguments = {str(key): item for key, item in value.items() if key != "type"}
    else:
        return None
    check_fields(kind, list(arguments))
    return kind, arguments


def _words(text: str) -> list[Any]:
    """Return the arguments of a text form; those without quotes become int, float, True or False where they can."""
    words: list[Any] = []
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise SettingsError(f"cannot read ({text}); put texts with commas or quotes into quotes.")
        quoted = match[1] if match[1] is not None else match[2]
        words.append(_inferred(match[3].strip()) if quoted is None else quoted)
        position = match.end()
    return words


def _inferred(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except (ValueError, OverflowError):
            continue
    return {"True": True, "False": False}.get(word, word)


def _literal(row: Hyperparameter, value: Any) -> Any:
    if isinstance(value, list) and row.kind != "grid":
        raise SettingsError(f"to try several values write {{type: choice, values: {value}}}, got a list.")
    if row is _MODEL and not isinstance(value, str):
        raise SettingsError(f"model_name must be the name of a model, got {value!r}.")
    return None if value is None else row.parse(value)


def _distribution(row: Hyperparameter, kind: str, arguments: dict[str, Any], log_base: float) -> Distribution:
    if kind == "choice":
        return Choice(tuple(_literal(row, value) for value in choice(arguments["values"]).values))
    allowed = {"float": tuple(FIELDS), "int": WHOLE}.get(row.kind, ("choice",))
    if kind not in allowed:
        raise SettingsError(f"expected a literal or {', '.join(allowed)}, as its values are {row.kind}; got {kind}.")
    distribution = build(kind, arguments, _legal(row), log_base)
    try:
        for value in distribution.ends():
            row.parse(value)
    except SettingsError as error:
        raise SettingsError(f"{error}{_hint(kind, arguments, log_base)}") from None
    drawn = set(distribution.ends())
    if kind in {"quniform", "qloguniform"} and len(drawn) == 1 and arguments["min_value"] != arguments["max_value"]:
        raise SettingsError(f"{kind} draws {drawn.pop():g} alone, as its q is too large for its range. Lower q.")
    return distribution


def _legal(row: Hyperparameter) -> Range:
    low = -math.inf if row.minimum is None else float(row.minimum)
    high = math.inf if row.maximum is None else float(row.maximum)
    return Range(low, math.nextafter(high, -math.inf) if row.open_maximum else high, whole=row.kind == "int")


def _hint(kind: str, arguments: Mapping[str, Any], log_base: float) -> str:
    """Return the explanation of what people take loguniform's bounds for, where they do."""
    if "loguniform" not in kind:
        return f" This is an end of what {kind} draws, after rounding to q." if kind.startswith("q") else ""
    low, high = float(arguments["min_value"]), float(arguments["max_value"])
    if not 0 < low <= high:
        return ""
    meant = " and ".join(f"{math.log(end, log_base):.4g}" for end in (low, high))
    return f" The bounds of {kind} are those of the logarithm: for {low:g} to {high:g} write {meant}."
