"""`kedro mlflow ui`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import yaml

from automl_images.cli.plain_errors import plain_errors
from automl_images.core.errors import AutoMLImagesError


@click.group(name="mlflow")
def mlflow_group() -> None:
    """The tracking store of `conf/base/mlflow.yml`."""


@mlflow_group.command(name="ui")
@click.option("--port", default=5000, show_default=True, help="Port on this machine.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--env", "-e", default="base", show_default=True, help="Environment whose mlflow.yml is read.")
def mlflow_ui(port: int, host: str, env: str) -> None:
    """Show runs, curves and registered models in the browser.

    Example: kedro mlflow ui --port 5001
    """
    with plain_errors():
        root = Path.cwd()
        files = [root / "conf" / name / "mlflow.yml" for name in (env, "base")]
        file = next((f for f in files if f.is_file()), None)
        if file is None:
            raise AutoMLImagesError(f"No mlflow.yml in conf/{env} or conf/base; run this from the project's folder.")
        uri = yaml.safe_load(file.read_text(encoding="utf-8"))["server"]["mlflow_tracking_uri"]
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "ui",
            "--backend-store-uri",
            uri,
            "--host",
            host,
            "--port",
            str(port),
        ]
        sys.exit(subprocess.call(command))  # noqa: S603 - our own interpreter and module
