"""JSON from strangers: NaN, infinity, duplicated keys and bottomless nesting are refused, each with its line.

Owns parsing only; what a document must hold is the matter of the readers in `formats/`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from automl_images.core.errors import DataError

MAX_LINE_BYTES = 32 * 1024 * 1024
"""Longer lines of a JSONL file are refused: a row of one image never needs this."""

_LARGE = 1_000_000

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\b(?:NaN|Infinity)\b)')


class JsonError(DataError):
    """A text is not the JSON we accept.

    Attributes:
        code: `JSON_INVALID`, `JSON_NOT_FINITE`, `JSON_DUPLICATE_KEY`, `JSON_TOO_DEEP` or `TEXT_ENCODING`.
        line: line counted from 1, where it is known.
    """

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.line = line


def loads(text: str, finite: bool = True) -> Any:
    """Parse one JSON document.

    Args:
        text: of the document.
        finite: refuse NaN and infinity; if not, they become floats, for a reader that looks at each number.

    Raises:
        JsonError: it is malformed, holds NaN or infinity, repeats a key in an object, or is nested too deeply.
    """
    decoder = _DECODER if finite else _LENIENT
    try:
        return decoder.decode(text) if len(text) < _LARGE else _loads_large(text, decoder)
    except JsonError as error:
        if error.code == "JSON_NOT_FINITE":
            error.line = _line_of_constant(text)
        raise
    except RecursionError:
        raise JsonError("JSON_TOO_DEEP", "The JSON is nested too deeply to be annotations.") from None
    except json.JSONDecodeError as error:
        raise JsonError("JSON_INVALID", f"{error.msg} (column {error.colno})", error.lineno) from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise JsonError("JSON_INVALID", str(error)) from None


def load(path: Path, finite: bool = True) -> tuple[Any, bool]:
    """Parse a JSON file in UTF-8 and tell whether it began with a byte order mark; `finite` as in `loads`.

    Raises:
        JsonError: as `loads`, or the bytes are not UTF-8.
    """
    content = path.read_bytes()
    text, bom = decode(content)
    del content
    return loads(text, finite), bom


def decode(content: bytes) -> tuple[str, bool]:
    """Return UTF-8 `content` as text without its byte order mark, and whether it had one.

    Raises:
        JsonError: the bytes are not UTF-8.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise JsonError("TEXT_ENCODING", f"not UTF-8 at byte {error.start} ({error.reason})", line) from None
    return text.removeprefix("\ufeff"), text.startswith("\ufeff")


def _loads_large(text: str, decoder: json.JSONDecoder) -> Any:
    """Parse with pydantic's parser, twice as fast; where it or the number of keys objects, the strict one decides.

    A repeated key is lost in the dictionary, so that fewer keys come out than stand in the text. Texts in which keys
    cannot be counted by their colons (in strings, or after a blank) only lose the advantage.
    """
    try:
        value = from_json(text, allow_inf_nan=decoder is _LENIENT)
    except ValueError:
        return decoder.decode(text)
    return value if text.count('":') == _count_keys(value) and '" :' not in text else decoder.decode(text)


def _count_keys(value: Any) -> int:
    """Return the number of keys in nested dictionaries; lists are taken to hold what their first entry is."""
    if type(value) is dict:
        return len(value) + sum([_count_keys(v) for v in value.values() if type(v) is dict or type(v) is list])
    if value and (type(value[0]) is dict or type(value[0]) is list):
        return sum([_count_keys(v) for v in value if type(v) is dict or type(v) is list])
    return 0


def _refuse_constant(name: str) -> Any:
    raise JsonError("JSON_NOT_FINITE", f"{name} is not a number that an annotation can have")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonError("JSON_DUPLICATE_KEY", f"the key {twice!r} stands twice in one object")
    return result


def _line_of_constant(text: str) -> int | None:
    for match in _CONSTANT.finditer(text):
        if match[1]:
            return text.count("\n", 0, match.start()) + 1
    return None


_LENIENT = json.JSONDecoder(object_pairs_hook=_unique_keys)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
