"""`kedro model catalogue|hyperparameters`."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from automl_images.cli.plain_errors import plain_errors
from automl_images.cli.tables import table_console
from automl_images.cli.task_option import TaskName
from automl_images.core.errors import SettingsError, nearest
from automl_images.core.hyperparameters import TABLE, Hyperparameter, canonical, find
from automl_images.core.hyperparameters.words import as_dict, defaults_of, range_of, value_of
from automl_images.tasks import TASKS


@click.group(name="model")
def model_group() -> None:
    """What can be trained."""


@model_group.command(name="catalogue")
@click.option("--task", type=TaskName(), default=None, help="Only models of this task.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the default hyper-parameters of each model.")
def catalogue(task: str | None, as_json: bool) -> None:
    """List the models: family, size, licence, pretrained weights, and whether these are on this machine.

    Models of transformers can be named too, by their name at the hub or by their folder; docs/models.md has the types.

    Example: kedro model catalogue --task object_detection
    """
    with plain_errors():
        from automl_images.models.listing import listing

        found = [row for name in ([task] if task else TASKS) for row in listing(name)]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        console = table_console()
        for name in dict.fromkeys(row["task"] for row in found):
            rows = [row for row in found if row["task"] == name]
            console.print(_table(name, rows))
            for row in rows:
                if row["note"]:
                    console.print(f"  [bold]{row['model_name']}[/bold]: {row['note']}", highlight=False)


def _table(task: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=task, title_justify="left", box=None, pad_edge=False)
    table.add_column("model_name", overflow="fold", min_width=18)
    for heading in ("family", "M params", "licence", "weights"):
        table.add_column(heading, justify="right" if heading.startswith("M ") else "left", no_wrap=True)
    for row in rows:
        size = "" if row["million_parameters"] is None else f"{row['million_parameters']:g}"
        table.add_row(row["model_name"], row["family"], size, row["licence"], _where(row["weights"]))
    return table


def _where(weights: list[dict[str, Any]]) -> str:
    if not weights:
        return "none"
    found = next((source for source in weights if source["here"]), None)
    return f"{weights[0]['kind']}, not here" if found is None else f"{found['kind']}, here"


@model_group.command(name="hyperparameters")
@click.argument("name", required=False)
@click.option("--task", type=TaskName(), default=None, help="Only those of this task's models.")
@click.option("--model", default=None, help="Only those of this model, with its defaults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hyperparameters(name: str | None, task: str | None, model: str | None, as_json: bool) -> None:
    """List the hyper-parameters: type and range, default, the models they are for, and what they mean.

    NAME, in any spelling, prints that one alone.

    Example: kedro model hyperparameters --task object_detection --model yolov5
    """
    with plain_errors():
        rows = [find(name)] if name else list(TABLE)
        found = _of_model(rows, task, model) if model else [as_dict(row) for row in rows if _fits_task(row, task)]
        if not found:
            raise SettingsError(f"{name} does not apply to {model or task}: it is for {rows[0].applies_to.words}.")
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        if name:
            click.echo("\n\n".join(map(_explained, found)))
            return
        for title in dict.fromkeys(str(entry.get("task", task or "all tasks")) for entry in found):
            shown = [entry for entry in found if entry.get("task", title) == title]
            table_console().print(_rows_table(f"{title}, {model}" if model else title, shown))


def _fits_task(row: Hyperparameter, task: str | None) -> bool:
    if task is None:
        return True
    from automl_images.models.catalogue import names

    return any(row.fits(task, name) for name in [*names(task), "any/model"])


def _of_model(rows: list[Hyperparameter], task: str | None, model: str) -> list[dict[str, Any]]:
    """Return the rows that fit a model, once for each task that it can be trained for, with its own default."""
    from automl_images.models import catalogue

    model = canonical({"model_name": model})["model_name"]
    tasks = [task] if task else [name for name in TASKS if model in catalogue.names(name)]
    if not tasks:
        known = nearest(model, catalogue.MODELS)
        raise SettingsError(f"{model} is not in the catalogue.{known} For a model of the hub or a folder give --task.")
    for name in tasks:
        catalogue.find(name, model)
    return [
        {"task": name, **as_dict(row), "default": row.default_for(name, model), "other_defaults": []}
        for name in tasks
        for row in rows
        if row.fits(name, model)
    ]


def _rows_table(title: str, entries: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("name", "type and range", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        row = find(entry["name"])
        default = value_of(entry["default"]) + (" *" if entry["other_defaults"] else "")
        table.add_row(*(Text(cell) for cell in (row.name, range_of(row), default, row.meaning)))
    if any(entry["other_defaults"] for entry in entries):
        table.caption, table.caption_justify = (
            "* some models have another: --model NAME, or the name of the row",
            "left",
        )
    return table


def _explained(entry: dict[str, Any]) -> str:
    """Return all of a row, a line each."""
    row = find(entry["name"])
    lines = {
        "other spellings": ", ".join(row.aliases) or "none",
        "type and range": range_of(row),
        f"default for {entry['task']}" if "task" in entry else "default": _default(entry, row),
        "for": row.applies_to.words,
    }
    return "\n".join([f"{row.name}: {row.meaning}", *(f"  {what}: {text}" for what, text in lines.items())])


def _default(entry: dict[str, Any], row: Hyperparameter) -> str:
    return value_of(entry["default"]) if "task" in entry else defaults_of(row)
