"""Kedro's commands of this project; one file a group, each thin: parse, call, print."""

from __future__ import annotations

import importlib.util

import click
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from automl_images.cli.data import data_group
from automl_images.cli.mlflow import mlflow_group
from automl_images.cli.model import model_group
from automl_images.cli.run import run


@click.group(context_settings=CONTEXT_SETTINGS, name="automl_images")
def cli() -> None:
    """Commands of AutoML Images."""


for _command in (run, data_group, model_group, mlflow_group):
    cli.add_command(_command)
if importlib.util.find_spec("kedro_airflow"):
    from automl_images.cli.airflow import airflow_group

    cli.add_command(airflow_group())
