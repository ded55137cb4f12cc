"""The switches of the hyper-parameter `advanced_settings` (specification B.7), as far as they are known.

Plain Python, so that a job's file is checked without loading torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.values import parse


@dataclasses.dataclass(frozen=True, slots=True)
class AdvancedSettings:
    """The switches.

    Attributes:
        stream_image_files: has no effect here, where images are read from their place; accepted for the service's jobs.
        apply_automl_train_augmentations: crop, expand, random scale, flip and colour jitter.
        apply_mosaic_for_yolo: mosaic; the two switches are independent of each other.
    """

    stream_image_files: bool = False
    apply_automl_train_augmentations: bool = True
    apply_mosaic_for_yolo: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> AdvancedSettings:
        """Return the switches of a JSON object; None means all defaults.

        Raises:
            SettingsError: an unknown key (the nearest is named), or a value that is neither true nor false.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values or {}:
            if key not in known:
                raise SettingsError(
                    f"Unknown key {key!r} in advanced_settings.{nearest(key, known)} Known: {', '.join(known)}."
                )
        return cls(**{key: parse(f"advanced_settings.{key}", value, "bool") for key, value in (values or {}).items()})
