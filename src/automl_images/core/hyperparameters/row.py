"""What a row of the table of hyper-parameters is."""

from __future__ import annotations

import dataclasses
from typing import Any

from automl_images.core.hyperparameters.models import ALL, Models
from automl_images.core.values import Kind, parse


@dataclasses.dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: the canonical spelling (that of job files).
        kind: how a value is parsed, see `core/values.py`.
        meaning: one line for people.
        default: value where no pattern of `defaults` fits; None means "not set".
        defaults: groups of models to values; the first that fits wins.
        aliases: other spellings that are accepted.
        minimum, maximum: inclusive range unless `open_minimum` / `open_maximum`.
        choices: the legal values of a `choice`.
        applies_to: the models for which the row is legal.
        ours: True where the row is an addition to the service's list.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    defaults: tuple[tuple[Models, Any], ...] = ()
    aliases: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    open_maximum: bool = False
    choices: tuple[str, ...] = ()
    applies_to: Models = ALL
    ours: bool = False

    def default_for(self, task: str, model_name: str) -> Any:
        """Return the default for a task and a model."""
        fitting = (value for models, value in self.defaults if models.include(task, model_name))
        return next(fitting, self.default)

    def fits(self, task: str, model_name: str) -> bool:
        """Tell whether the row is legal for a model of a task."""
        return self.applies_to.include(task, model_name)

    def parse(self, value: Any) -> Any:
        """Return `value` in the row's type.

        Raises:
            SettingsError: wrong type or out of range.
        """
        return parse(
            self.name,
            value,
            self.kind,
            minimum=self.minimum,
            maximum=self.maximum,
            open_maximum=self.open_maximum,
            choices=self.choices,
        )
