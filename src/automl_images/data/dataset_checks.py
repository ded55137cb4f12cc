"""The rules about a set of rows as a whole: classes, duplicates, minimum sizes, images on both sides of a split.

Rules about single rows stand in `validation.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from automl_images.core.errors import DataError
from automl_images.core.types import Row
from automl_images.data.findings import FindingLog, short
from automl_images.data.mltable import is_url, labels_of

MINIMUM_TRAINING_IMAGES = 10

_BLANK = re.compile(r"\s+")


def require_minimum(rows: Sequence[Row]) -> None:
    """Check the number of images left for training, after the split.

    Raises:
        DataError: fewer than 10.
    """
    if len(rows) < MINIMUM_TRAINING_IMAGES:
        raise DataError(
            f"Expected at least {MINIMUM_TRAINING_IMAGES} training images (Azure AutoML's rule for image tasks), got "
            f"{len(rows)} without those held out for validation. Add labelled images, or look at the findings of the "
            "conversion if there should be more."
        )


def require_local(rows: Iterable[Row]) -> None:
    """Check that the images are files.

    Raises:
        DataError: some are URLs.
    """
    remote = [row["image_url"] for row in rows if is_url(row["image_url"])]
    if remote:
        raise DataError(
            f"Expected images that are files, as training reads them from disk, got {len(remote)} that are URLs, the "
            f"first is {remote[0]}. Download them and name their folder in source.images."
        )


def shared_images(training: Iterable[Row], validation: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Return pairs of rows, one of each side, with equal image content (equal path where that is unknown)."""
    by_content = {content_key(row): row for row in training}
    return [(by_content[key], row) for row in validation if (key := content_key(row)) in by_content]


def content_key(row: Row) -> str:
    """Return the hash of a row's image, or its path or URL where the image was not read."""
    return str(row.get("image_details", {}).get("sha256") or row["image_url"])


def fatal_reason(rows: Sequence[Row], kind: str, label_types: Mapping[type, str]) -> str | None:
    """Return why nothing can be learned from `rows`, or None (specification A.5)."""
    if not rows:
        return "No valid image with a valid label is left."
    if len(label_types) > 1:
        examples = "; ".join(label_types.values())
        return f"Class names are partly numbers and partly text: {examples}. Make them all text or all numbers."
    if not any(labels_of(row["label"], kind) for row in rows):
        what = "has an empty label" if kind == "classes" else "is a background image"
        return f"Every image {what}: there is nothing to learn."
    return None


def check_dataset(rows: Sequence[Row], kind: str, source: object, log: FindingLog) -> None:
    """Log warnings about the rows as a whole.

    Args:
        rows: valid ones.
        kind: label kind.
        source: the annotation file or folder, named in findings about classes.
        log: takes the findings.
    """
    _check_classes(rows, kind, source, log)
    _check_content(rows, kind, log)
    _check_names(rows, log)


def _check_classes(rows: Sequence[Row], kind: str, source: object, log: FindingLog) -> None:
    images: Counter[str] = Counter()
    example: dict[str, str] = {}
    for row in rows:
        for name in set(labels_of(row["label"], kind)):
            images[name] += 1
            example[name] = row["image_url"]
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(images):
        alike[_BLANK.sub("", unicodedata.normalize("NFKC", name)).casefold()].append(name)
        if images[name] == 1:
            message = f"the class {short(name)!r} has one image, {example[name]}"
            log.add("CLASS_WITH_ONE_IMAGE", message, source, value=name)
    if kind in {"class", "classes"} and list(images.values()) == [len(rows)]:
        message = f"every image is of the class {short(min(images))!r}, there is no other"
        log.add("SINGLE_CLASS", message, source, value=min(images))
    for names in alike.values():
        if len(names) > 1:
            shown = ", ".join(f"{name!r} ({images[name]} images)" for name in names)
            message = f"these classes differ only by case, space or Unicode form: {shown}"
            log.add("CLASS_NAMES_SIMILAR", message, source, value=names)


def _check_content(rows: Sequence[Row], kind: str, log: FindingLog) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        content = row.get("image_details", {}).get("sha256")
        if content is None:
            continue
        other = first.setdefault(content, row)
        if other is row:
            continue
        message = f"the same content as {other['image_url']}"
        names, others = (sorted(labels_of(each["label"], kind)) for each in (row, other))
        if kind in {"class", "classes"} and names != others:
            message = f"{_listed(names)}, but {message}, which is {_listed(others)}"
            log.add("IMAGE_DUPLICATE_CONFLICT", message, row["image_url"], value=row["label"])
        else:
            log.add("IMAGE_DUPLICATE", message, row["image_url"], value=content)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(short(repr(name)) for name in names) or "without a class"


def _check_names(rows: Sequence[Row], log: FindingLog) -> None:
    first: dict[str, str] = {}
    for row in rows:
        url = row["image_url"]
        other = first.setdefault(unicodedata.normalize("NFC", url).casefold(), url)
        if other != url:
            log.add("IMAGE_NAME_CLASH", f"the same name as {other} where case does not count", url)
