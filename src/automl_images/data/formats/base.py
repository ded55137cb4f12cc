"""The contract of annotation formats, and what all readers share.

A reader turns the files of one format into `Sample`s and says what it could not read. It computes nothing about
images, opens none, and drops no annotation on its own account where the annotation can be handed on: an object it
cannot make sense of goes into the sample with its `problem`, so that `validation.py` decides, in one place, whether
the object or the whole image is dropped.

To add a format: one file here with a subclass of `Reader` decorated with `@READERS.register("name")`, and its name in
`formats/__init__.py`; the conformance test in tests/data/test_formats.py then covers it.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from automl_images.core.errors import DataError
from automl_images.core.registry import Registry
from automl_images.data.findings import FindingLog, kind_of
from automl_images.data.sources import ImageLocator, SourceOptions

Box = tuple[float, float, float, float]


class Malformed(ValueError):
    """A piece of an annotation is not what its format says; `code` is the finding's code."""

    def __init__(self, code: str, message: str, value: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.value = value


@dataclasses.dataclass(slots=True)
class RawObject:
    """One annotated object as a file states it.

    Attributes:
        label: class name; checked later.
        box: xyxy in the sample's unit, finite, order of corners not checked; None if the file gives none.
        polygon: segments of flat x, y numbers in the sample's unit, finite; None if the file gives none.
        crowd: what the file says; anything.
        item: id or number inside the file.
        line: line inside the file.
        problem: why the object cannot be used, if the reader knows already.
    """

    label: Any
    box: Box | None = None
    polygon: list[list[float]] | None = None
    crowd: Any = 0
    item: Any = None
    line: int | None = None
    problem: Malformed | None = None


@dataclasses.dataclass(slots=True)
class Sample:
    """One image with its annotations as a file states them.

    Attributes:
        image: path or URL of the image as the file names it, or absolute where a folder was listed.
        file: the annotation file, or the image where there is none.
        label: a class name, or a list of them, for classification.
        objects: for detection and segmentation.
        normalised: whether coordinates are in [0, 1] rather than in pixels.
        width: of the image as the file states it, in pixels; None if it does not.
        height: likewise.
        size_of_mask: width and height are those of a mask, which must be the image's own.
        line: line in `file`.
        item: id in `file`.
        one_of_many: this is one object of an image whose other objects are in further samples (legacy rows).
    """

    image: str
    file: Path
    label: Any = None
    objects: list[RawObject] = dataclasses.field(default_factory=list)
    normalised: bool = False
    width: int | None = None
    height: int | None = None
    size_of_mask: bool = False
    line: int | None = None
    item: Any = None
    one_of_many: bool = False


class Reader(abc.ABC):
    """Reads one annotation format.

    Attributes:
        name: the format's, as registered.
        kinds: label kinds (`class`, `classes`, `boxes`, `polygons`) that the format can hold.
        fallback: recognised by `format: auto` only where no other format is.
        source, kind, target_column, log: what to read, which labels are wanted, under which name, where to report.
        check_images: whether the disk may be asked about images.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[str]]
    fallback: ClassVar[bool] = False

    def __init__(
        self, source: SourceOptions, kind: str, target_column: str, log: FindingLog, check_images: bool = True
    ) -> None:
        self.source = source
        self.kind = kind
        self.target_column = target_column
        self.log = log
        self.check_images = check_images

    @classmethod
    @abc.abstractmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """Tell whether `path` (which exists) looks like this format, cheaply and without raising.

        Args:
            path: annotation file or folder.
            images: the folder named in `images`, if there is one.
        """

    @classmethod
    def near(cls, path: Path) -> str | None:
        """Say what keeps a path that `detect` refuses from being this format; None where it is not near."""
        return None

    @abc.abstractmethod
    def read(self) -> Iterator[Sample]:
        """Yield the samples in the order of the file, or sorted where a folder is listed.

        Raises:
            DataError: nothing can be read at all.
        """

    @abc.abstractmethod
    def locator(self) -> ImageLocator:
        """Return what resolves `Sample.image`; called after `read` has begun to yield."""

    def image_roots(self, *usual: Path) -> list[Path]:
        """Return the folder named in `images`, or the usual ones."""
        if self.source.images is None:
            return list(usual)
        if not self.source.images.is_dir():
            raise DataError(f"Expected the folder of the images in `images`, but {self.source.images} is no folder.")
        return [self.source.images]


READERS = Registry[type[Reader]]("annotation format")


def number(value: Any) -> float:
    """Return a finite number; numeric strings are accepted.

    Raises:
        Malformed: it is none.
    """
    try:
        if isinstance(value, bool) or not math.isfinite(result := float(value)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        got = "NaN, infinity or more than a number can hold" if type(value) in {int, float} else kind_of(value)
        raise Malformed("ANNOTATION_ILL_FORMED", f"expected a number, got {got}", value) from None
    return result


def size(value: Any) -> int | None:
    """Return a stated width or height in pixels (`640`, `"640"`, `"640px"`), None where it is not a positive number."""
    try:
        result = number(value.strip().removesuffix("px") if isinstance(value, str) else value)
    except Malformed:
        return None
    return int(result) if result >= 1 else None


def polygon_of(value: Any) -> list[list[float]]:
    """Return the segments of a polygon with finite numbers, an even number of them in each.

    Raises:
        Malformed: it is not a list of lists of numbers, or a segment has an odd number of them.
    """
    if not isinstance(value, list) or not all(isinstance(segment, list) for segment in value):
        raise Malformed("ANNOTATION_ILL_FORMED", "expected a polygon as list of lists of numbers", value)
    segments = [[number(v) for v in segment] for segment in value]
    for segment in segments:
        if len(segment) % 2:
            raise Malformed("POLYGON_ODD", f"expected pairs of x and y, got {len(segment)} numbers", segment)
    return segments
