"""What a row of the table of hyper-parameters is, and the groups of models that rows speak of."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import Any

from automl_images.core.values import Kind, parse

ANY = ("*",)
CLASSIFICATION = ("image_classification*",)
OBJECTS = ("object_detection/*", "instance_segmentation/*")
SEGMENTATION = ("instance_segmentation/*",)
YOLO = ("*/yolov5",)
HUB_OBJECTS = (
    "object_detection/*/*",
    "instance_segmentation/*/*",
    "*/mmd-3x-deformable-detr*",
    "*/mmd-3x-mask-rcnn_swin*",
)
"""Models whose images become a square of image_size: of a hub or a folder (with a slash in the name), and with Swin."""

RCNN = ("*/fasterrcnn_*", "*/retinanet_*", "*/maskrcnn_*", "*/mmd-3x-[!dm]*")
"""Models whose images keep their shape, between min_size and max_size."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: the canonical spelling (that of job files).
        kind: how a value is parsed, see `core/values.py`.
        meaning: one line for people.
        default: value where no pattern of `defaults` fits; None means "not set".
        defaults: `task/model_name` patterns to values; the first that fits wins.
        aliases: other spellings that are accepted.
        minimum, maximum: inclusive range unless `open_minimum` / `open_maximum`.
        choices: the legal values of a `choice`.
        applies_to: patterns of `task/model_name` for which the row is legal.
        ours: True where the row is an addition to the service's list.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    defaults: tuple[tuple[str, Any], ...] = ()
    aliases: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    open_maximum: bool = False
    choices: tuple[str, ...] = ()
    applies_to: tuple[str, ...] = ANY
    ours: bool = False

    def default_for(self, task: str, model_name: str) -> Any:
        """Return the default for a task and a model."""
        key = f"{task}/{model_name}"
        return next((value for pattern, value in self.defaults if fnmatchcase(key, pattern)), self.default)

    def fits(self, task: str, model_name: str) -> bool:
        """Tell whether the row is legal for a model of a task."""
        return any(fnmatchcase(f"{task}/{model_name}", pattern) for pattern in self.applies_to)

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
