"""The rules for one row: which labels are valid, and what becomes of boxes and polygons that are not.

Owns the label kinds (`class`, `classes`, `boxes`, `polygons`; this room knows no tasks) and the rules of specification
A.5 and of reliability 2.2 about single images. An annotation that is ill-formed (no class, no number) costs its image,
because the image would be trained on as if the object were not there; an annotation that is merely impossible (no
area, outside of the image) is dropped alone, and its image only when nothing else is left. Rules about the whole set
stand in `dataset_checks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_images.core.registry import Registry
from automl_images.core.types import Row
from automl_images.data.findings import CODES, FindingLog, kind_of, place, short
from automl_images.data.formats.base import Box, Malformed, RawObject, Sample
from automl_images.data.geometry import NO_AREA, NOISE, Frame, clip, crosses_itself, polygon_area, polygon_box, rounded
from automl_images.data.images import ImageInfo
from automl_images.data.sources import is_text

_MIN_OVERLAP = 0.5
_CROWD = ("true", "True", "1", 1)


class RowDropped(Exception):  # a signal inside this room, not an error
    """The image cannot be used; the reason has been logged."""


def _line_and_item(sample: Sample, found: RawObject | None) -> tuple[int | None, Any]:
    line = found.line if found is not None and found.line is not None else sample.line
    return line, sample.item if found is None or found.item is None else found.item


class RowChecker:
    """Checks the samples of one conversion.

    Attributes:
        log: takes what is found.
        label_types: the types of the class names seen, which a set must not mix, each with its first and where it is.
    """

    def __init__(self, log: FindingLog) -> None:
        self.log = log
        self.label_types: dict[type, str] = {}
        self._known: set[str] = set()

    def find(
        self, code: str, message: str, sample: Sample, row: str, found: RawObject | None = None, value: Any = None
    ) -> None:
        """Log a finding about a sample, or about one of its objects."""
        line, item = _line_and_item(sample, found)
        self.log.add(code, f"{sample.image}: {message}", sample.file, line=line, item=item, value=value, row=row)

    def drop(
        self, code: str, message: str, sample: Sample, row: str, found: RawObject | None = None, value: Any = None
    ) -> RowDropped:
        """Log why a row is dropped and return the signal to raise."""
        self.find(code, message, sample, row, found, value)
        return RowDropped()

    def class_name(self, label: Any, sample: Sample, row: str, found: RawObject | None = None) -> str:
        """Return a class name as text.

        Raises:
            RowDropped: it is neither text nor a whole number, or is blank.
        """
        if type(label) is str and label in self._known:
            return label
        if isinstance(label, bool) or not isinstance(label, str | int):
            message = f"a class must be text or a whole number, got {kind_of(label)}"
            raise self.drop("LABEL_WRONG_TYPE", message, sample, row, found, label)
        if isinstance(label, str) and not label.strip():
            raise self.drop("LABEL_EMPTY", "the class is blank", sample, row, found)
        if isinstance(label, str) and not is_text(label):
            raise self.drop("LABEL_WRONG_TYPE", "the class holds broken characters", sample, row, found)
        if type(label) not in self.label_types:
            line, item = _line_and_item(sample, found)
            self.label_types[type(label)] = f"{short(repr(label))} at {place(sample.file, line, item)}"
        if isinstance(label, str):
            self._known.add(label)
        return str(label)

    def usable(self, sample: Sample, row: str) -> list[RawObject]:
        """Return the objects of a sample without the ones whose reader could make no sense of them.

        Raises:
            RowDropped: one of them makes the whole image useless.
        """
        objects = sample.objects
        for found in objects:
            if found.problem is not None:
                break
        else:
            return objects
        for found in objects:
            if found.problem is not None:
                self._report(found.problem, sample, row, found)
        return [found for found in objects if found.problem is None]

    def _report(self, problem: Malformed, sample: Sample, row: str, found: RawObject) -> None:
        self.find(problem.code, str(problem), sample, row, found, problem.value)
        if CODES[problem.code][1] == "dropped row":
            raise RowDropped

    def box(self, found: RawObject, frame: Frame, sample: Sample, row: str) -> Box | None:
        """Return the normalised box of an object inside the upright image, or None when it is invalid."""
        raw = found.box
        if raw is not None and (inside := frame.inside(raw)):
            return inside
        if found.polygon is not None:
            segments = self.polygon(found, frame, sample, row)
            return polygon_box(segments) if segments else None
        if raw is None or not frame.has_area(raw):
            self.find("BOX_INVALID", "left must be below right and top below bottom", sample, row, found, raw)
            return None
        box = frame.normalised(raw)
        outside = frame.overshoot(*box)
        cut, share = clip(box)
        if share <= _MIN_OVERLAP:
            hint = "; are these pixels? coordinates must be in [0, 1]" if sample.normalised and max(raw) > 2 else ""
            message = f"{1 - share:.0%} of the box is outside of the image{hint}"
            self.find("BOX_OUTSIDE_IMAGE", message, sample, row, found, raw)
            return None
        if outside > NOISE:
            self.find("BOX_CLIPPED", f"the box sticks out by {outside:.4g} pixels", sample, row, found, raw)
        return rounded(cut)

    def polygon(self, found: RawObject, frame: Frame, sample: Sample, row: str) -> list[list[float]]:
        """Return the normalised segments of an object that are valid."""
        segments = (self._segment(segment, found, frame, sample, row) for segment in found.polygon or [])
        return [segment for segment in segments if segment]

    def _segment(
        self, raw: list[float], found: RawObject, frame: Frame, sample: Sample, row: str
    ) -> list[float] | None:
        if len(raw) < 6:
            self.find("POLYGON_TOO_SHORT", f"{len(raw) // 2} points, at least 3 needed", sample, row, found, raw)
            return None
        segment = frame.normalised_points(raw)
        outside = frame.overshoot(*polygon_box([segment]))
        if outside > 1.0:
            message = f"the polygon leaves the image by {outside:.4g} pixels"
            self.find("POLYGON_OUTSIDE_IMAGE", message, sample, row, found, raw)
            return None
        if outside > NOISE:
            message = f"the polygon leaves the image by {outside:.4g} pixels"
            self.find("POLYGON_CLIPPED", message, sample, row, found, raw)
        segment = [round(min(max(value, 0.0), 1.0), 9) for value in segment]
        if polygon_area(segment) <= NO_AREA and not crosses_itself(segment):  # the area of an 8 is 0 as well
            self.find("POLYGON_TOO_SHORT", "the polygon has no area", sample, row, found, raw)
            return None
        return segment


LabelCheck = Callable[[RowChecker, Sample, Frame, str], Any]
"""Takes the checker, a sample, its frame and the row's key; returns the `label` of the row or raises `RowDropped`."""

LABEL_KINDS = Registry[LabelCheck]("label kind")


@LABEL_KINDS.register("class")
def check_class(checker: RowChecker, sample: Sample, frame: Frame, row: str) -> str:
    """Return one class name."""
    checker.usable(sample, row)
    if sample.label is None:
        raise checker.drop("LABEL_EMPTY", "the row has no label", sample, row)
    return checker.class_name(sample.label, sample, row)


@LABEL_KINDS.register("classes")
def check_classes(checker: RowChecker, sample: Sample, frame: Frame, row: str) -> list[str]:
    """Return the class names, each once; none is legal."""
    checker.usable(sample, row)
    if not isinstance(sample.label, list):
        message = f"expected a list of classes, got {kind_of(sample.label)}"
        raise checker.drop("LABEL_WRONG_TYPE", message, sample, row, value=sample.label)
    names = [checker.class_name(label, sample, row) for label in sample.label]
    unique = list(dict.fromkeys(names))
    if len(unique) < len(names):
        checker.find("LABEL_REPEATED", "a label stands twice", sample, row, value=names)
    return unique


@LABEL_KINDS.register("boxes")
def check_boxes(checker: RowChecker, sample: Sample, frame: Frame, row: str) -> list[Row]:
    """Return the objects with the corners of their boxes."""
    result = []
    for found in checker.usable(sample, row):
        name = checker.class_name(found.label, sample, row, found)
        box = checker.box(found, frame, sample, row)
        if box is not None:
            result.append(
                {
                    "label": name,
                    "topX": box[0],
                    "topY": box[1],
                    "bottomX": box[2],
                    "bottomY": box[3],
                    "isCrowd": 1 if found.crowd and found.crowd in _CROWD else 0,
                }
            )
    different = len({tuple(item.values()) for item in result})
    return _checked_objects(checker, sample, row, result, different)


@LABEL_KINDS.register("polygons")
def check_polygons(checker: RowChecker, sample: Sample, frame: Frame, row: str) -> list[Row]:
    """Return the objects with the segments of their polygons."""
    result = []
    for found in checker.usable(sample, row):
        name = checker.class_name(found.label, sample, row, found)
        if not found.polygon:
            checker.find("POLYGON_MISSING", "an object without polygon", sample, row, found)
            continue
        segments = checker.polygon(found, frame, sample, row)
        if any(map(crosses_itself, segments)):
            message = "the outline crosses itself; what it goes around twice counts as a hole"
            checker.find("POLYGON_SELF_CROSSING", message, sample, row, found)
        if segments:
            result.append(
                {"label": name, "isCrowd": 1 if found.crowd and found.crowd in _CROWD else 0, "polygon": segments}
            )
    return _checked_objects(checker, sample, row, result, len({str(item) for item in result}))


def _checked_objects(checker: RowChecker, sample: Sample, row: str, result: list[Row], different: int) -> list[Row]:
    if sample.objects and not result:
        count = len(sample.objects)
        message = "its only annotation is invalid" if count == 1 else f"all {count} annotations are invalid"
        raise checker.drop("NO_VALID_OBJECTS", message, sample, row)
    if different < len(result):
        checker.find("BOX_DUPLICATE", "two objects have the same class and place", sample, row)
    return result


def frame_of(sample: Sample, info: ImageInfo | None, checker: RowChecker, row: str) -> Frame:
    """Return what a sample's coordinates refer to.

    Annotation tools show images either as stored or turned upright by their EXIF flag. Where the stated size is that of
    the stored image only, the annotations are turned too; where it fits both, or is not stated, they are as upright.

    Args:
        sample: with the size that its file states, if any.
        info: the decoded image, None where it was not looked at (a URL, or checks are off).
        checker: takes findings.
        row: key of the row.

    Raises:
        RowDropped: the coordinates cannot be related to the image.
    """
    stated = (sample.width, sample.height) if sample.width and sample.height else None
    if info is None:
        return _frame_without_image(sample, stated, checker, row)
    upright, stored = (info.width, info.height), (info.raw_width, info.raw_height)
    if sample.size_of_mask and stated and stated not in (upright, stored):
        message = f"the mask has {_text(stated)}, the image {_text(upright)}"
        raise checker.drop("MASK_SIZE_MISMATCH", message, sample, row)
    orientation = 1
    if stated and stated != upright and (stated == stored or not _same_shape(stated, upright)):
        orientation = info.orientation if _same_shape(stated, stored) else 1
    if stated and not _same_shape(stated, stored if orientation != 1 else upright):
        _mismatch(sample, stated, upright, checker, row)
    elif stated and stated not in (upright, stored):
        checker.find("IMAGE_RESIZED", f"stated {_text(stated)}, the file has {_text(upright)}", sample, row)
    _report_orientation(sample, info, orientation, stated, checker, row)
    scale = (1, 1) if sample.normalised else stated or upright
    return Frame(*scale, orientation, *upright)


def _frame_without_image(sample: Sample, stated: tuple[int, int] | None, checker: RowChecker, row: str) -> Frame:
    if sample.normalised:
        return Frame(1, 1, 1, *(stated or (None, None)))
    if stated:
        return Frame(*stated, 1, *stated)
    if sample.objects:
        raise checker.drop("IMAGE_SIZE_UNKNOWN", "coordinates in pixels need the image's size", sample, row)
    return Frame(1, 1, 1, None, None)


def _mismatch(sample: Sample, stated: tuple[int, int], upright: tuple[int, int], checker: RowChecker, row: str) -> None:
    message = f"stated {_text(stated)}, the file has {_text(upright)}"
    if sample.objects and not sample.normalised:
        raise checker.drop("IMAGE_SIZE_MISMATCH", message, sample, row)
    checker.find("IMAGE_RESIZED", message, sample, row)


def _report_orientation(
    sample: Sample, info: ImageInfo, applied: int, stated: tuple[int, int] | None, checker: RowChecker, row: str
) -> None:
    if info.orientation == 1 or not sample.objects:
        return
    flag = f"EXIF orientation {info.orientation}"
    if applied != 1:
        checker.find("ANNOTATION_ROTATED", f"{flag}; the stated size is that of the stored image", sample, row)
    elif stated is None or (info.width, info.height) == (info.raw_width, info.raw_height):
        checker.find("ORIENTATION_AMBIGUOUS", f"{flag}; annotations taken as those of the upright image", sample, row)


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Tell whether two sizes have the same ratio of sides to one percent."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= 0.01 * max(a[0] * b[1], a[1] * b[0])


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
