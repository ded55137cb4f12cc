"""`kedro run` with plain messages."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework.cli.project import run as kedro_run

from automl_images.cli.plain_errors import plain_errors
from automl_images.core.errors import SettingsError
from automl_images.jobs.running import ending


class _Run(click.Command):
    """Kedro's `run` without tracebacks for users' mistakes."""

    def invoke(self, ctx: click.Context) -> Any:
        warnings.filterwarnings("ignore", category=KedroDeprecationWarning)  # both --pipeline and --pipelines are fine
        with plain_errors(), ending():
            try:
                return super().invoke(ctx)
            except ValueError as error:
                if str(error).startswith(("Failed to find the pipeline", "Pipeline does not contain")):
                    raise SettingsError(str(error)) from None
                raise


run = copy.copy(kedro_run)
run.__class__ = _Run
