"""The rules for one row: which labels are valid, and what becomes of boxes and polygons that are not.

Owns the label kinds (`class`, `classes`, `boxes`, `polygons`; this room knows no tasks) and the rules of specification
A.5 and of reliability 2.2 about single images. An annotation that is ill-formed (no class, no number) costs its image,
because the image would be trained on as if the object were not there; an annotation that is merely impossible (no
area, outside of the image) is dropped alone, and its image only when nothing else is left. Rules about the whole set
stand in `dataset_checks.py`, what coordinates refer to in `framing.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_images.core.registry import Registry
from automl_images.core.types import Row
from automl_images.data.findings import CODES, FindingLog, kind_of, place, short
from automl_images.data.formats.base import Box, Malformed, RawObject, Sample
from automl_images.data.geometry import (
    LEAST_SIDE,
    NO_AREA,
    NOISE,
    Frame,
    clip,
    crosses_itself,
    polygon_area,
    polygon_box,
    rounded,
)
from automl_images.data.sources import is_text

_MIN_OVERLAP = 0.5
_CROWD, _NO_CROWD = ("true", "True", "1", 1), ("false", "False", "0", "")
_TINY = 1.0 - NOISE
"""Pixels below which the side of a box is more likely a slip of the hand than an object."""


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
            before = next(iter(self.label_types.values()), None)
            self.label_types[type(label)] = f"{short(repr(label))} at {place(sample.file, line, item)}"
            if before is not None:
                self.find("LABEL_TYPES_MIXED", f"a class of another type than {before}", sample, row, found, label)
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
        if frame.is_thin(cut):
            message = f"a side of the box is below {LEAST_SIDE} pixels; expected corners that lie apart"
            self.find("BOX_INVALID", message, sample, row, found, raw)
            return None
        if outside > NOISE:
            self.find("BOX_CLIPPED", f"the box sticks out by {outside:.4g} pixels", sample, row, found, raw)
        return rounded(cut)

    def crowd(self, found: RawObject, sample: Sample, row: str) -> int:
        """Return 1 for a crowd, else 0."""
        if not found.crowd or found.crowd in _NO_CROWD:
            return 0
        if found.crowd in _CROWD:
            return 1
        self.find("CROWD_UNKNOWN", "expected 0 or 1 for a crowd", sample, row, found, found.crowd)
        return 0

    def report_tiny(self, box: Box, frame: Frame, sample: Sample, row: str, found: RawObject) -> None:
        """Log a box whose sides are hardly there."""
        if not (frame.width and frame.height):
            return
        width, height = (box[2] - box[0]) * frame.width, (box[3] - box[1]) * frame.height
        if width < _TINY or height < _TINY:
            message = f"the box is {width:.4g} x {height:.4g} pixels"
            self.find("BOX_TINY", message, sample, row, found, found.box)

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
        if frame.is_thin(polygon_box([segment])):
            message = f"the polygon is narrower than {LEAST_SIDE} pixels"
            self.find("POLYGON_TOO_SHORT", message, sample, row, found, raw)
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
            checker.report_tiny(box, frame, sample, row, found)
            result.append(
                {
                    "label": name,
                    "topX": box[0],
                    "topY": box[1],
                    "bottomX": box[2],
                    "bottomY": box[3],
                    "isCrowd": checker.crowd(found, sample, row),
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
            result.append({"label": name, "isCrowd": checker.crowd(found, sample, row), "polygon": segments})
    return _checked_objects(checker, sample, row, result, len({str(item) for item in result}))


def _checked_objects(checker: RowChecker, sample: Sample, row: str, result: list[Row], different: int) -> list[Row]:
    if sample.objects and not result:
        count = len(sample.objects)
        message = "its only annotation is invalid" if count == 1 else f"all {count} annotations are invalid"
        raise checker.drop("NO_VALID_OBJECTS", message, sample, row)
    if different < len(result):
        checker.find("BOX_DUPLICATE", "two objects have the same class and place", sample, row)
    return result
