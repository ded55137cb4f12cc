"""`kedro data check|convert`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from automl_images.cli.plain_errors import plain_errors
from automl_images.cli.tables import table_console
from automl_images.cli.task_option import TaskName
from automl_images.core.errors import DataError, SettingsError
from automl_images.core.files import write_json
from automl_images.core.types import Row
from automl_images.data.conversion import Conversion, RejectedData, convert
from automl_images.data.dataset_checks import require_local, require_minimum, shared_images
from automl_images.data.mltable import write_table
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import split
from automl_images.data.tables import findings_table, summary_table
from automl_images.jobs.options import JobOptions
from automl_images.tasks import TASKS

FORMATS = ("coco", "voc", "yolo", "folder", "masks", "csv", "jsonl", "mltable")


@click.group(name="data")
def data_group() -> None:
    """Check and convert annotations, on any source."""


def _source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--max-invalid", default=0.2, show_default=True, help="Largest share of bad rows put up with."),
        click.option("--strict", is_flag=True, help="Fail if there is any finding."),
        click.option("--target-column-name", default="label", show_default=True, help="Name of the label."),
        click.option("--class-name", default=None, help="Masks: the class of those that lie in no class folder."),
        click.option("--one-based", is_flag=True, help="VOC: coordinates count from 1, as in the development kit."),
        click.option(
            "--split", default=None, help="Part of a source with several: YOLO key or folder of class folders."
        ),
        click.option("--images", default=None, help="Folder that image names are relative to."),
        click.option("--source", "path", required=True, help="Annotation file or folder."),
        click.option(
            "--format", "format_", default="auto", show_default=True, help="auto, " + ", ".join(FORMATS) + "."
        ),
        click.option(
            "--task", type=TaskName(), default="object_detection", show_default=True, help="Which labels are wanted."
        ),
    ):
        function = option(function)
    return function


@data_group.command(name="check")
@_source_options
@click.option("--validation", default=None, help="Second source (same format): images shared with it are listed.")
def check_data(as_json: bool, validation: str | None, **options: Any) -> None:
    """Print what is wrong with annotations and what they hold; change nothing.

    Too few images to train on are not usable, nor are URLs of images; without --validation, those that a run holds out
    do not count.

    Exit code 0: usable (perhaps with findings), 1: not usable, 2: wrong usage.

    Example: kedro data check --task object_detection --source annotations.json --images photos
    """
    with plain_errors():
        conversion, rejection = _convert_or_reject(options)
        others = _convert_or_reject({**options, "path": validation})[0] if validation else None
        refusal = rejection or _refusal(conversion.rows, options, others)
        shared = shared_images(conversion.rows, others.rows) if others else []
        if as_json:
            pairs = [[a["image_url"], b["image_url"]] for a, b in shared]
            click.echo(json.dumps(_as_json(conversion, refusal) | {"shared_images": pairs}, indent=2))
        else:
            tables = [findings_table(conversion.findings)] if conversion.findings else []
            _print(*tables, summary_table(conversion.summary))
            for one, other in shared:
                click.echo(f"in both sources: {one['image_url']} = {other['image_url']}")
        if refusal:
            raise refusal


@data_group.command(name="convert")
@_source_options
@click.option("--output", required=True, help="Folder of the MLTable that is written.")
def convert_data(as_json: bool, output: str, **options: Any) -> None:
    """Convert annotations to an MLTable folder (JSONL); images stay where they are.

    Example: kedro data convert --task object_detection --format voc --source xml --images photos --output table
    """
    with plain_errors():
        conversion, rejection = _convert_or_reject(options)
        if rejection:
            raise rejection
        _refuse_foreign_files(Path(output), Path(options["path"]))
        write_table(conversion.rows, output)
        write_json(Path(output) / "conversion_report.json", _as_json(conversion, None))
        if as_json:
            click.echo(json.dumps(_as_json(conversion, None), indent=2))
        else:
            _print(summary_table(conversion.summary))
            click.echo(f"{len(conversion.rows)} rows in {output}; findings in {output}/conversion_report.json")


def _refuse_foreign_files(output: Path, source: Path) -> None:
    """Raise unless `output` is new, empty, or holds an earlier conversion and not the source."""
    holds_source = source.resolve() == output.resolve() or output.resolve() in source.resolve().parents
    ours = not output.exists() or not any(output.iterdir()) or (output / "conversion_report.json").is_file()
    if holds_source or not ours:
        raise SettingsError(f"{output} holds files of yours; name a new or empty folder for --output.")


def _convert_or_reject(options: dict[str, Any]) -> tuple[Conversion, RejectedData | None]:
    names = ("path", "images", "split", "class_name", "one_based")
    try:
        source = SourceOptions(format=options["format_"], **{name: options[name] for name in names})
    except ValidationError as error:
        option = str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise SettingsError(f"--{option}: {error.errors()[0]['msg']}") from None
    settings = {"strict": options["strict"], "max_invalid": options["max_invalid"]}
    try:
        kind = TASKS.get(options["task"]).label_kind
        return convert(source, kind, target_column=options["target_column_name"], **settings), None
    except RejectedData as error:
        return error.conversion, error


def _refusal(rows: list[Row], options: dict[str, Any], validation: Conversion | None) -> DataError | None:
    """Return the error with which a run, with its other parameters left alone, would refuse these rows."""
    try:
        require_local([*rows, *(validation.rows if validation else [])])
        if validation is None:
            run = JobOptions(task=options["task"], source=SourceOptions(path=options["path"]))
            rows = split(rows, run.holdout, run.random_seed, TASKS.get(run.task).label_kind).training
        require_minimum(rows)
    except DataError as error:
        return error
    return None


def _as_json(conversion: Conversion, refusal: DataError | None) -> dict[str, Any]:
    findings = [finding.as_dict() for finding in conversion.findings]
    reason = None if refusal is None else str(refusal)
    return {"usable": refusal is None, "reason": reason, "summary": conversion.summary, "findings": findings}


def _print(*tables: Any) -> None:
    console = table_console()
    for table in tables:
        console.print(table)
