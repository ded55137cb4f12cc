"""The option `--task`."""

from __future__ import annotations

import click

from automl_images.core.errors import unknown_name
from automl_images.tasks import TASKS, pipeline_name


class TaskName(click.ParamType):
    """A task by the name of its pipeline, or by that of the service's job files; gives the pipeline's."""

    name = "task"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what stands for the value in the help."""
        return f"[{'|'.join(TASKS)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See the class."""
        known = pipeline_name(value)
        if known not in TASKS:
            self.fail(unknown_name("task", value, TASKS), param, ctx)
        return known
