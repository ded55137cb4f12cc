"""Masks of detections as pictures (specification J.3, `export_as_image`)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from automl_images.core.files import replacing
from automl_images.core.types import Detections

ImageType = Literal["jpg", "png", "bmp"]

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_LONGEST = 80
"""Bytes of a name; the image's and the class's together stay below what file systems allow."""


@dataclasses.dataclass(frozen=True, slots=True)
class MaskPictures:
    """What `export_masks` is asked to write for one image; see there."""

    detections: Detections
    classes: Sequence[str]
    image: str
    size: tuple[int, int]
    image_type: ImageType = "jpg"

    def write(self, folder: Path) -> list[Path]:
        """Write the pictures below `folder` and return their paths."""
        return export_masks(self.detections, self.classes, self.image, self.size, folder, self.image_type)


def export_masks(
    detections: Detections,
    classes: Sequence[str],
    image: str,
    size: tuple[int, int],
    folder: Path | str,
    image_type: ImageType = "jpg",
) -> list[Path]:
    """Write one picture a detection, 255 where its object is and 0 elsewhere, and return their paths.

    The name is `masks/<image>/<class>/<image>_<i>_label_<class>_conf_<score>.<type>`, `<i>` counting the detections
    and `<score>` the first four characters of the score without its dot. Characters of image and class that file
    systems forbid become `_`.

    Args:
        detections: with masks.
        classes: class names by label.
        image: name of the image, without extension; see `distinct_names`.
        size: width and height of the image, which the pictures get.
        folder: where `masks/` is made.
        image_type: file format; `jpg` is lossy at the edges.

    Raises:
        OSError: a file cannot be written.
    """
    if detections.masks is None:
        raise ValueError("expected detections with masks")
    stem = _name(image)
    paths = []
    found = zip(detections.masks, detections.labels.tolist(), detections.scores.tolist(), strict=True)
    for number, (mask, label, score) in enumerate(found):
        name, confidence = _name(classes[label]), str(score)[:4].replace(".", "")
        file = f"{stem}_{number}_label_{name}_conf_{confidence}.{image_type}"
        paths.append(Path(folder, "masks", stem, name, file))
        picture = Image.fromarray(mask.astype(np.uint8) * 255)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.NEAREST)
        with replacing(paths[-1]) as temporary:
            picture.save(temporary, format="JPEG" if image_type == "jpg" else image_type)
    return paths


def distinct_names(paths: Sequence[Path | str]) -> list[str]:
    """Return a name for each image, fit for a file, by which its pictures are told apart from all others'.

    That is the file's name without extension; where several images share it, with that of its folder before it, and
    where that does not tell them apart either, with a number after it. Upper and lower case are the same.
    """
    files = [Path(path) for path in paths]
    shared = Counter(_name(file.stem).casefold() for file in files)
    known: set[str] = set()
    names = []
    for file in files:
        wanted = file.stem if shared[_name(file.stem).casefold()] == 1 else f"{file.parent.name}_{file.stem}"
        name, number = _name(wanted), 1
        while name.casefold() in known:
            number += 1
            name = f"{_name(wanted, _LONGEST - len(str(number)) - 1)}_{number}"
        known.add(name.casefold())
        names.append(name)
    return names


def _name(text: str, longest: int = _LONGEST) -> str:
    """Return `text` as name of a file on any system: no separators, neither `.` nor `..`, not too long."""
    safe = _FORBIDDEN.sub("_", text).encode("utf-8", "replace")[:longest].decode("utf-8", "ignore").strip(" .")
    return safe or "_"
