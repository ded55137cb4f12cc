"""`kedro airflow create` with this project's template and one task a stage."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import click

AIRFLOW_SETTINGS = {"schedule", "start_date", "owner", "retries", "retry_delay", "max_active_runs", "catchup"}
"""What `kedro airflow create --params` gives to the DAG; everything else goes to the runs that it starts."""


def airflow_group() -> click.Group:
    """Return kedro-airflow's commands with our template and one task a stage as defaults."""
    from kedro_airflow.plugin import create

    ours = {"jinja_file": Path(__file__).parents[1] / "integrations" / "airflow_dag.j2", "node_grouping": "namespace"}
    command = copy.copy(create)
    command.params = [copy.copy(param) for param in create.params]
    for param in command.params:
        if param.name in ours:
            param.default = ours[param.name]
    create_with_path = command.callback

    def callback(*args: Any, params: dict[str, Any], **kwargs: Any) -> Any:
        of_runs = {key: value for key, value in params.items() if key not in AIRFLOW_SETTINGS}
        settings = {key: value for key, value in params.items() if key in AIRFLOW_SETTINGS}
        settings |= {"runtime_params": of_runs} if of_runs else {}
        return create_with_path(*args, params={"project_path": Path.cwd().as_posix(), **settings}, **kwargs)

    command.callback = callback
    group = click.Group(name="airflow", help="Schedule a pipeline with Airflow 3.")
    group.add_command(command)
    return group
