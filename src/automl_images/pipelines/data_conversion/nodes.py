"""Nodes of the stage data_conversion."""

from __future__ import annotations

import logging
import shlex
from typing import Any

from automl_images.core.errors import DataError
from automl_images.core.types import Table
from automl_images.data.conversion import Conversion, RejectedData, convert
from automl_images.data.dataset_checks import require_local
from automl_images.data.sources import SourceOptions
from automl_images.jobs.options import JobOptions
from automl_images.tasks import TASKS

LOG = logging.getLogger(__name__)


def convert_annotations(options: JobOptions) -> tuple[Table, Table, dict[str, Any]]:
    """Read and check the annotations that the parameters name.

    Returns:
        The rows, the rows of separate validation data (none when there is no such data), and the report with every
        finding of both.
    """
    kind = TASKS.get(options.task).label_kind
    training = _convert(options.training_source, kind, options)
    validation = _convert(options.validation_data, kind, options) if options.validation_data else None
    report = {"training": _report(training), "validation": _report(validation) if validation else None}
    counts = training.summary
    LOG.info(
        "Conversion: %d of %d images usable, %d classes, %d findings (conversion_report.json)",
        len(training.rows),
        counts["rows_read"],
        len(counts["classes"]),
        len(training.findings),
    )
    return Table(training.rows), Table(validation.rows if validation else []), report


def _convert(source: SourceOptions, kind: str, options: JobOptions) -> Conversion:
    try:
        conversion = convert(
            source,
            kind,
            strict=options.strict,
            max_invalid=options.max_invalid,
            target_column=options.target_column_name,
        )
    except RejectedData as error:
        raise DataError(f"{error} All findings: {_check_command(source, options)}") from error
    require_local(conversion.rows)
    return conversion


def _check_command(source: SourceOptions, options: JobOptions) -> str:
    """Return the command that lists all findings of a source that was refused."""
    given = {"task": options.task, "format": source.format, "source": source.path, "images": source.images}
    given |= {"split": source.split, "class-name": source.class_name, "target-column-name": options.target_column_name}
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None]
    return " ".join(["kedro data check", *words, *(["--one-based"] if source.one_based else [])])


def _report(conversion: Conversion) -> dict[str, Any]:
    return {"summary": conversion.summary, "findings": [finding.as_dict() for finding in conversion.findings]}
