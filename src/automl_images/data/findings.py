"""The codes of findings, what each means and does, and the log that collects them during a conversion.

Owns the one table of codes; the places that find something only name a code. `core.types.Finding` is the record.
"""

from __future__ import annotations

from typing import Literal

from automl_images.core.types import Finding

Severity = Literal["error", "warning"]

CODES: dict[str, tuple[Severity, str, str]] = {
    # code: severity, what is done, meaning
    "ANNOTATION_ID_DUPLICATE": ("warning", "kept both", "two annotations have the same id"),
    "ANNOTATION_ILL_FORMED": ("error", "dropped row", "an annotation lacks its class or coordinates, or is no number"),
    "ANNOTATION_ON_UNKNOWN_IMAGE": ("error", "dropped annotation", "an annotation's image id is not among the images"),
    "ANNOTATION_ROTATED": ("warning", "rotated annotations", "drawn on the unrotated image; turned with its EXIF flag"),
    "BOX_CLIPPED": ("warning", "clipped box", "a box sticks out of the image by less than half of its area"),
    "BOX_DUPLICATE": ("warning", "kept both", "two boxes of an image have the same class and place"),
    "BOX_INVALID": ("error", "dropped box", "a box with left not left of right or top not above bottom, by 0.01 px"),
    "BOX_OUTSIDE_IMAGE": ("error", "dropped box", "half of a box or more lies outside the image"),
    "BOX_TINY": ("warning", "kept", "a side of a box is below one pixel"),
    "CATEGORY_ID_DUPLICATE": ("error", "kept first", "two categories have the same id"),
    "CATEGORY_NAME_DUPLICATE": ("warning", "merged categories", "two categories have the same name"),
    "CATEGORY_UNKNOWN": ("error", "dropped annotation", "an annotation names a category that is not declared"),
    "CLASS_NAMES_SIMILAR": ("warning", "kept both", "class names differ only by case, space or Unicode form"),
    "CLASS_WITH_ONE_IMAGE": ("warning", "kept", "a class has a single image, which cannot be on both sides of a split"),
    "COLUMN_COUNT": ("error", "dropped row", "a line has more or fewer cells than the header"),
    "CROWD_UNKNOWN": ("warning", "taken as no crowd", "the mark of a crowd is neither 0 nor 1"),
    "FILE_BYTE_ORDER_MARK": ("warning", "kept", "a text file begins with a byte order mark"),
    "FILE_NOT_AN_IMAGE": ("warning", "skipped file", "a file among the images whose name is not one of an image"),
    "ID_MISSING": ("error", "dropped entry", "an entry of the file has no id, or no file name"),
    "IMAGE_16_BIT": ("warning", "kept", "more than 8 bits a sample; stretched"),
    "IMAGE_ANIMATED": ("warning", "kept", "several frames; the first is used"),
    "IMAGE_BAD_EXIF": ("warning", "kept", "broken EXIF data; taken as upright"),
    "IMAGE_CORRUPT": ("error", "dropped row", "an image cannot be decoded"),
    "IMAGE_DUPLICATE": ("warning", "kept both", "image files with the same content"),
    "IMAGE_DUPLICATE_CONFLICT": ("warning", "kept both", "image files with the same content and different classes"),
    "IMAGE_EMPTY": ("error", "dropped row", "an image file of zero bytes"),
    "IMAGE_ID_DUPLICATE": ("error", "kept first", "two images have the same id"),
    "IMAGE_KILLED_DECODER": ("error", "dropped row", "decoding an image ended the process that did it"),
    "IMAGE_MISSING": ("error", "dropped row", "there is no file for an image"),
    "IMAGE_NAME_CLASH": ("warning", "kept both", "file names that are one and the same on Windows and macOS"),
    "IMAGE_RESIZED": ("warning", "scaled annotations", "the file has another size but the shape that is stated"),
    "IMAGE_ROW_DUPLICATE": ("warning", "merged rows", "several rows for one image"),
    "IMAGE_SIZE_INVALID": ("warning", "ignored size", "a stated width or height is no positive number"),
    "IMAGE_SIZE_MISMATCH": ("error", "dropped row", "the file has another shape than the annotations state"),
    "IMAGE_SIZE_UNKNOWN": ("error", "dropped row", "pixel coordinates, but the image's size is not known"),
    "IMAGE_TINY": ("warning", "kept", "a side below 10 pixels"),
    "IMAGE_TOO_LARGE": ("error", "dropped row", "more pixels than are decoded"),
    "IMAGE_TRANSPARENT": ("warning", "kept", "transparency; shown on white"),
    "IMAGE_TRUNCATED": ("error", "dropped row", "an image file ends too early"),
    "IMAGE_UNKNOWN_FORMAT": ("error", "dropped row", "a file is not an image that we read"),
    "IMAGE_UNREADABLE": ("error", "dropped row", "an image file cannot be opened"),
    "IMAGE_WRONG_EXTENSION": ("warning", "kept", "a file's content is not what its name says"),
    "JSON_DUPLICATE_KEY": ("error", "dropped row", "an object of a JSON line repeats a key"),
    "JSON_INVALID": ("error", "dropped row", "a line is not JSON"),
    "JSON_NOT_FINITE": ("error", "dropped row", "a JSON line holds NaN or infinity"),
    "JSON_TOO_DEEP": ("error", "dropped row", "a JSON line is nested too deeply"),
    "LABEL_CONFLICT": ("error", "last row wins", "rows of one image have different labels"),
    "LABEL_EMPTY": ("error", "dropped row", "a row has no label"),
    "LABEL_FILE_WITHOUT_IMAGE": ("error", "skipped file", "a label file has no image"),
    "LABEL_MISSING": ("error", "dropped row", "a row lacks the label column"),
    "LABEL_OF_SEVERAL": ("warning", "kept", "one label an image, but a label joins names that others have, too"),
    "LABEL_REPEATED": ("warning", "kept once", "a label stands twice in a row"),
    "LABEL_SPLIT_AT_SPACES": ("warning", "split labels", "cells with spaces, in a column without other separator"),
    "LABEL_TYPES_MIXED": ("warning", "refused set", "class names that are partly numbers and partly text"),
    "LABEL_WRONG_TYPE": ("error", "dropped row", "a label is of another type than the task needs"),
    "LINE_ILL_FORMED": ("error", "dropped row", "a line of a label file is not what its format says"),
    "LINE_TOO_LONG": ("error", "dropped row", "a line is longer than 32 MB"),
    "MASK_INVALID": ("error", "dropped row", "a mask that is damaged, too large, or of several numbers a pixel"),
    "MASK_MISSING": ("warning", "skipped image", "an image among those with masks has none"),
    "MASK_SIZE_MISMATCH": ("error", "dropped row", "a mask of another size than its image"),
    "NO_VALID_OBJECTS": ("error", "dropped row", "every annotation of an image is invalid"),
    "ORIENTATION_AMBIGUOUS": ("warning", "kept", "turned by EXIF without change of size; annotations taken as upright"),
    "PATH_INVALID": ("error", "dropped row", "an image path is empty or holds forbidden characters"),
    "PATH_OUTSIDE_ROOT": ("error", "dropped row", "an image path leaves the folder of the images"),
    "POLYGON_CLIPPED": ("warning", "clipped polygon", "a polygon sticks out of the image by up to one pixel"),
    "POLYGON_FROM_MASK": ("warning", "converted mask", "masks were made into polygons"),
    "POLYGON_MISSING": ("error", "dropped annotation", "an object without polygon where polygons are needed"),
    "POLYGON_ODD": ("error", "dropped row", "a polygon with an odd number of coordinates"),
    "POLYGON_OUTSIDE_IMAGE": ("error", "dropped segment", "a polygon leaves the image by more than one pixel"),
    "POLYGON_SELF_CROSSING": ("warning", "kept", "an outline crosses itself; what it goes around twice is a hole"),
    "POLYGON_TOO_SHORT": ("error", "dropped segment", "a polygon of fewer than three points, or without area"),
    "ROW_NOT_OBJECT": ("error", "dropped row", "a JSON line is not an object"),
    "SINGLE_CLASS": ("warning", "kept", "there is only one class, and so nothing to tell apart"),
    "TEXT_ENCODING": ("error", "dropped row", "a line or file is not in the encoding it should be"),
    "XML_FORBIDDEN": ("error", "skipped file", "an XML file with a document type or entities"),
    "XML_INVALID": ("error", "skipped file", "an XML file that cannot be parsed"),
}


class FindingLog:
    """Collects findings, and which rows had an error.

    Attributes:
        findings: in the order in which they were made.
        bad_rows: keys of the rows with at least one error; a key is the image, or file and line where it is unknown.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.bad_rows: set[str] = set()

    def add(
        self,
        code: str,
        message: str,
        file: object,
        *,
        line: int | None = None,
        item: object = None,
        value: object = None,
        row: str | None = None,
    ) -> None:
        """Record a finding.

        Args:
            code: one of `CODES`, which gives severity and action.
            message: what is wrong, in one line.
            file: the annotation or image file.
            line: line in `file`, from 1.
            item: id inside `file`.
            value: the offending value; cut to 100 characters.
            row: key of the row that an error makes bad; file and line or id if not given.
        """
        severity, action, _ = CODES[code]
        if severity == "error":
            self.bad_rows.add(row or f"{file}:{line}:{item}")
        self.findings.append(
            Finding(
                code=code,
                severity=severity,
                message=short(message, 500),
                file=printable(str(file)),
                action=action,
                line=line,
                item=None if item is None else short(item),
                value=None if value is None else short(value),
            )
        )


def place(file: object, line: int | None, item: object) -> str:
    """Return `file:line (item)`, without what is not known."""
    return f"{file}{'' if line is None else f':{line}'}{'' if item is None else f' ({short(item)})'}"


def kind_of(value: object) -> str:
    """Return the type of what came, in words of JSON where there is nothing."""
    return "null" if value is None else type(value).__name__


def short(value: object, length: int = 100) -> str:
    """Return `value` as one line of at most `length` characters."""
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= length else text[: length - 1] + "…"


def printable(text: str) -> str:
    """Return `text` of strangers without line ends, terminal codes and halves of characters."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)
