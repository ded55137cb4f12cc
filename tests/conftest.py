"""Settings of the whole suite: no telemetry, no hub, and with `pytest -n` each worker has its share of the cores."""

import os

from automl_images.training.threads import cores_per_trial, environment_for_trial

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # commands are printed as without `uv run`

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    os.environ.update(environment_for_trial(cores_per_trial(workers)))
