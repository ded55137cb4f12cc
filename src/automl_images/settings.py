"""Kedro's settings of this project: hooks, and environments that merge into the base instead of replacing it."""

import os
import warnings

os.environ.setdefault("DO_NOT_TRACK", "1")  # kedro and kedro-viz bring telemetry along; it stays off
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")

# Datasets are named <task>.<dataset> on purpose.
warnings.filterwarnings("ignore", message=".*dot notation is reserved.*")

from automl_images.hooks import JobHooks  # noqa: E402
from automl_images.jobs.configuration import ConfigLoader  # noqa: E402

HOOKS = (JobHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"], "airflow": ["airflow*", "airflow/**"]},
}
