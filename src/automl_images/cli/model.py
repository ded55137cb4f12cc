"""`kedro model catalogue`."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from automl_images.cli.plain_errors import plain_errors
from automl_images.tasks import TASKS


@click.group(name="model")
def model_group() -> None:
    """What can be trained."""


@model_group.command(name="catalogue")
@click.option("--task", type=click.Choice(list(TASKS)), default=None, help="Only models of this task.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the default hyper-parameters of each model.")
def catalogue(task: str | None, as_json: bool) -> None:
    """List the models: family, size, licence, pretrained weights, and whether these are on this machine.

    Any transformers model can be named too, by its name at the hub or by its folder.

    Example: kedro model catalogue --task object_detection
    """
    with plain_errors():
        from automl_images.models.listing import listing

        found = [row for name in ([task] if task else TASKS) for row in listing(name)]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for name in dict.fromkeys(row["task"] for row in found):
            Console().print(_table(name, [row for row in found if row["task"] == name]))


def _table(task: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=task, title_justify="left")
    for heading in ("model_name", "family", "million parameters", "licence", "pretrained weights", "here"):
        table.add_column(heading, overflow="fold", justify="right" if heading.startswith("million") else "left")
    for row in rows:
        size = "" if row["million_parameters"] is None else f"{row['million_parameters']:g}"
        sources = "; ".join(source["name"] for source in row["weights"]) or "none"
        here = "yes" if any(source["here"] for source in row["weights"]) else "no"
        name = f"{row['model_name']}\n[dim]{row['note']}[/dim]" if row["note"] else row["model_name"]
        table.add_row(name, row["family"], size, row["licence"], sources, here)
    return table
