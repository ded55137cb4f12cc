"""Kedro's settings of this project: hooks, and environments that merge into the base instead of replacing it."""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # kedro and kedro-viz bring telemetry along; it stays off
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")

from automl_images.hooks import JobHooks

HOOKS = (JobHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"mlflow": ["mlflow*"], "airflow": ["airflow*", "airflow/**"]},
}
