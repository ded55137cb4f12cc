"""From the annotations of a source to checked rows, findings and a summary.

Owns the order of the steps: read, resolve paths, merge rows of one image, decode images, check labels, check the set,
judge. The steps themselves stand in `formats/`, `sources.py`, `inspection.py`, `validation.py` and
`dataset_checks.py`. Nothing of the user's is written or changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterator
from typing import Any

from automl_images.core.errors import DataError
from automl_images.core.types import Finding, Row
from automl_images.data.dataset_checks import check_dataset, fatal_reason
from automl_images.data.findings import FindingLog
from automl_images.data.formats import open_source
from automl_images.data.formats.base import Reader, Sample
from automl_images.data.framing import frame_of
from automl_images.data.images import ImageError, ImageInfo
from automl_images.data.inspection import Inspection, inspect_images
from automl_images.data.mltable import is_url
from automl_images.data.progress import Advance
from automl_images.data.sources import PathError, SourceOptions
from automl_images.data.summary import count_findings, summarise
from automl_images.data.tables import where
from automl_images.data.validation import LABEL_KINDS, LabelCheck, RowChecker, RowDropped

_FORMATS_BY_EXTENSION = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}


@dataclasses.dataclass(frozen=True, slots=True)
class Conversion:
    """What a source became.

    Attributes:
        rows: sorted by `image_url`, which is an absolute path or a URL.
        findings: everything that was wrong or is worth knowing, in the order of the steps.
        summary: counts, see `summary.summarise`, and `format`, `kind`, `rows_read`, `rows_bad`.
    """

    rows: list[Row]
    findings: list[Finding]
    summary: dict[str, Any]


class RejectedData(DataError):
    """The annotations were read, but too much of them is wrong; `conversion` holds what was found."""

    def __init__(self, message: str, conversion: Conversion) -> None:
        super().__init__(message)
        self.conversion = conversion


def convert(
    source: SourceOptions,
    label_kind: str,
    *,
    strict: bool = False,
    max_invalid: float = 0.2,
    target_column: str = "label",
    check_images: bool = True,
    workers: int | None = None,
    progress: Advance | None = None,
) -> Conversion:
    """Read and check the annotations of a source.

    Args:
        source: where they are.
        label_kind: `class`, `classes`, `boxes` or `polygons`.
        strict: fail if there is any finding.
        max_invalid: largest share, in [0, 1], of rows with an error that is put up with.
        target_column: name of the label in formats with named columns.
        check_images: decode every image; if not, images may be absent and sizes come from the annotations.
        workers: processes that decode; one a core if not given.
        progress: called with done and total images; a bar or log lines if not given.

    Raises:
        DataError: nothing can be read.
        RejectedData: nothing usable is left, too many rows are bad, or `strict` and there is a finding.
    """
    log = FindingLog()
    check = LABEL_KINDS.get(label_kind)
    reader = open_source(source, label_kind, target_column, log, check_images)
    checker = RowChecker(log)
    with _without_garbage_collection():
        samples = _merged(_located(reader, log), label_kind, checker)
        found = _inspected(samples, check_images, workers, progress, log)
        keys = set(samples)
        rows = list(_checked(samples, found, check, checker))
        check_dataset(rows, label_kind, source.path, log)
        conversion = _conversion(rows, label_kind, reader, log, keys | log.bad_rows)
    _judge(conversion, fatal_reason(rows, label_kind, checker.label_types), strict, max_invalid)
    return conversion


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of small objects are made, none in cycles: looking for cycles would take a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _located(reader: Reader, log: FindingLog) -> Iterator[tuple[str, Sample]]:
    """Yield samples with the absolute path or URL of their image."""
    locator = None
    for sample in reader.read():
        locator = locator or reader.locator()
        try:
            yield locator.locate(sample.image), sample
        except PathError as error:
            log.add(error.code, str(error), sample.file, line=sample.line, item=sample.item, value=sample.image)


def _merged(located: Iterator[tuple[str, Sample]], kind: str, checker: RowChecker) -> dict[str, Sample]:
    """Return one sample an image: objects of several rows are put together, of several classes the last row's wins."""
    samples: dict[str, Sample] = {}
    for row, sample in located:
        first = samples.setdefault(row, sample)
        if first is sample:
            continue
        if kind in {"class", "classes"}:
            same = first.label == sample.label
            checker.find(
                "IMAGE_ROW_DUPLICATE" if same else "LABEL_CONFLICT", "a further row", sample, row, value=sample.label
            )
            samples[row] = sample
        else:
            if not sample.one_of_many:
                checker.find("IMAGE_ROW_DUPLICATE", "a further row", sample, row)
            first.objects += sample.objects
    return samples


def _inspected(
    samples: dict[str, Sample], check_images: bool, workers: int | None, progress: Advance | None, log: FindingLog
) -> dict[str, Inspection]:
    """Return what each image file is, and log what is wrong with it."""
    if not check_images:
        return {}
    found = inspect_images(sorted(row for row in samples if not is_url(row)), workers, progress)
    for row, info in found.items():
        sample = samples[row]
        if isinstance(info, ImageError):
            log.add(info.code, str(info), sample.file, line=sample.line, item=sample.item, value=sample.image, row=row)
        else:
            for code, message in info.warnings:
                log.add(code, message, row, row=row)
    return found


def _checked(
    samples: dict[str, Sample], found: dict[str, Inspection], check: LabelCheck, checker: RowChecker
) -> Iterator[Row]:
    """Yield the rows that can be used, sorted; `samples` is emptied on the way, to save memory."""
    for row in sorted(samples):
        sample, info = samples.pop(row), found.get(row)
        if isinstance(info, ImageError):
            continue
        with contextlib.suppress(RowDropped):  # the reason is in the log
            label = check(checker, sample, frame_of(sample, info, checker, row), row)
            yield {"image_url": row, "image_details": _details(row, sample, info), "label": label}


def _details(row: str, sample: Sample, info: ImageInfo | None) -> dict[str, Any]:
    if info is not None:
        return {"format": info.format, "width": info.width, "height": info.height, "sha256": info.sha256}
    name = row.partition("?")[0].rpartition("/")[2]
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    details: dict[str, Any] = {"format": _FORMATS_BY_EXTENSION.get(extension, extension)} if extension else {}
    if sample.width and sample.height:
        details |= {"width": sample.width, "height": sample.height}
    return details


def _conversion(rows: list[Row], kind: str, reader: Reader, log: FindingLog, read: set[str]) -> Conversion:
    facts = {"format": reader.name, "kind": kind, "rows_read": len(read), "rows_bad": len(log.bad_rows)}
    return Conversion(rows, log.findings, facts | summarise(rows, kind, log.findings))


def _judge(conversion: Conversion, fatal: str | None, strict: bool, max_invalid: float) -> None:
    """Raise if the conversion must not be used."""
    read, bad = conversion.summary["rows_read"], conversion.summary["rows_bad"]
    if strict and conversion.findings:
        first = conversion.findings[0]
        raise RejectedData(
            f"strict: the first finding is {first.code} at {where(first)}: {first.message}. {_counts(conversion)}",
            conversion,
        )
    if read and bad / read > max_invalid:
        raise RejectedData(
            f"{bad} of {read} rows ({bad / read:.0%}) are bad; max_invalid allows {max_invalid:.0%}. "
            f"Mend the data, or raise max_invalid. {_counts(conversion)}",
            conversion,
        )
    if fatal:
        raise RejectedData(f"{fatal} {_counts(conversion)}".strip(), conversion)


def _counts(conversion: Conversion) -> str:
    counts = count_findings(conversion.findings)
    first = {finding.code: finding for finding in reversed(conversion.findings)}
    parts = [f"{code} {entry['count']} (first: {where(first[code])})" for code, entry in counts.items()]
    return f"Findings: {', '.join(parts)}." if parts else ""
