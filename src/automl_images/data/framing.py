"""What the coordinates of annotations refer to: the size that was stated, the image as stored, or the image upright.

Findings go through the `RowChecker` of `validation.py`, which owns the rules for the annotations themselves.
"""

from __future__ import annotations

from automl_images.data.formats.base import Sample
from automl_images.data.geometry import Frame
from automl_images.data.images import ImageInfo
from automl_images.data.validation import RowChecker


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
