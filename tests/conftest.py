"""Settings of the whole suite: no telemetry, no hub, no more threads than asked for."""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # commands are printed as without `uv run`
