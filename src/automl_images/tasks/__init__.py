"""The only room that knows task types."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

from automl_images.tasks.facts import TASKS, TaskFacts, pipeline_name

if TYPE_CHECKING:
    from automl_images.tasks.base import TaskAdapter

__all__ = ["TASKS", "TaskFacts", "get_task", "pipeline_name"]


@functools.cache
def get_task(name: str) -> TaskAdapter:
    """Return the adapter of a task by pipeline name; this imports torch.

    Raises:
        SettingsError: there is none; the message names the nearest.
    """
    facts = TASKS.get(name)
    module, adapter = facts.adapter.split(":")
    task: TaskAdapter = getattr(importlib.import_module(module), adapter)(facts)
    return task
