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
        console = Console()
        for name in dict.fromkeys(row["task"] for row in found):
            rows = [row for row in found if row["task"] == name]
            console.print(_table(name, rows))
            for row in rows:
                if row["note"]:
                    console.print(f"  [bold]{row['model_name']}[/bold]: {row['note']}", highlight=False)


def _table(task: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=task, title_justify="left", box=None, pad_edge=False)
    table.add_column("model_name", overflow="fold", min_width=33)
    for heading in ("family", "M parameters", "licence", "pretrained weights"):
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
