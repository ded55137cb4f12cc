"""optuna-dashboard opens a job's study, as docs/sweeps.md says."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fake_trials import sweep

from automl_images.sweep.study import JobStudy


def test_the_dashboard_shows_trials_with_values_and_curves(tmp_path):
    pytest.importorskip("optuna_dashboard")
    study = JobStudy(tmp_path, "image_classification.calm_otter", None)
    sweep(tmp_path, [{"score": 0.2}, {"score": 0.4}], study=study).run()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "optuna-dashboard"
    server = subprocess.Popen(
        [program, f"sqlite:///{tmp_path}/study.db", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        studies = fetch(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert [s["study_name"] for s in studies] == ["image_classification.calm_otter"]
        trials = fetch(f"http://127.0.0.1:{port}/api/studies/{studies[0]['study_id']}?after=0")["trials"]
        assert [t["values"] for t in trials] == [[0.4], [0.8]]
        assert [[point["step"] for point in t["intermediate_values"]] for t in trials] == [[1, 2], [1, 2]]
    finally:
        server.terminate()
        server.wait()


def fetch(url):
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
