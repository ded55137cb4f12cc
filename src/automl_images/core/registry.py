"""A dictionary of implementations that register themselves under a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from automl_images.core.errors import SettingsError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to implementations of one kind; a duplicate is a bug, a miss is the user's typing mistake.

    Example:
        >>> READERS = Registry[type]("annotation format")
        >>> @READERS.register("coco")
        ... class CocoReader: ...
        >>> READERS.get("coco").__name__
        'CocoReader'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that stores its argument under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def store(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"The {self.kind} {name!r} is registered twice.")
            self._entries[name] = entry
            return entry

        return store

    def get(self, name: str) -> T:
        """Return the implementation called `name`.

        Raises:
            SettingsError: there is none; the message names the nearest one.
        """
        if name not in self._entries:
            raise SettingsError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
