"""The only room that knows task types."""

from automl_images.tasks import object_detection  # noqa: F401 - registers itself
from automl_images.tasks.base import TASKS, TaskAdapter

__all__ = ["TASKS", "TaskAdapter", "get_task"]


def get_task(name: str) -> TaskAdapter:
    """Return the adapter of a task by pipeline name.

    Raises:
        SettingsError: there is none; the message names the nearest.
    """
    return TASKS.get(name)
