"""The controller with real processes: small programs that write what a trial writes."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from automl_images.core.tracking import NullTracker
from automl_images.sweep.controller import TrialController
from automl_images.sweep.curves import curves
from automl_images.sweep.trials import TrialRequest

PROGRAM = textwrap.dedent(
    """
    import json, pathlib, sys, time
    folder = pathlib.Path(sys.argv[1])
    request = json.loads((folder / "trial.json").read_text())
    score = request["hyperparameters"]["score"]
    with (folder / "events.jsonl").open("a") as log:
        for epoch in (1, 2):
            event = {"event": "epoch", "epoch": epoch, "epochs": 2, "metrics": {"m": score * epoch}, "seconds": 0.1,
                     "primary_metric": score * epoch, "primary_metric_name": "m", "is_best": True, "log_loss_train": 1.0}
            log.write(json.dumps(event) + "\\n")
            log.flush()
            if score < 0:
                print("cannot go on"); sys.exit(3)
            time.sleep(request["hyperparameters"].get("sleep", 0))
    (folder / "runs").write_text((folder / "runs").read_text() + "x" if (folder / "runs").exists() else "x")
    result = {"status": "completed", "best_epoch": 2, "epochs": 2, "seconds": 0.2, "metrics": {"m": score * 2},
              "primary_metric": score * 2}
    (folder / "result.json").write_text(json.dumps(result))
    """
)


class RecordingTracker(NullTracker):
    def __init__(self):
        self.metrics, self.ended = [], {}

    def log_metrics(self, run_id, metrics, step):
        self.metrics.append((run_id, step, metrics["m"]))

    def end(self, run_id, status):
        self.ended[run_id] = status


def request(number, score, **more):
    return TrialRequest(number, "t", "model", {"score": score, **more}, ["a"], "x", "y", "h", {}, "m")


def controller(folder, tracker, **changes):
    settings = {"concurrent": 2, "deadline": None, "primary_metric": "m", **changes}
    return TrialController(
        folder, lambda trial: [sys.executable, "-c", PROGRAM, str(trial)], {}, tracker, "job", **settings
    )


def test_trials_run_are_tracked_and_not_run_twice(tmp_path):
    tracker = RecordingTracker()
    requests = [request(0, 0.2), request(1, 0.4)]
    outcomes = controller(tmp_path, tracker).run(requests)
    assert [(o.status, o.metrics, o.epochs) for o in outcomes] == [
        ("Completed", {"m": 0.4}, 2),
        ("Completed", {"m": 0.8}, 2),
    ]
    assert sorted(tracker.metrics) == [("job_0", 1, 0.2), ("job_0", 2, 0.4), ("job_1", 1, 0.4), ("job_1", 2, 0.8)]
    assert tracker.ended == {"job_0": "Completed", "job_1": "Completed"}
    assert controller(tmp_path, tracker).run(requests) == outcomes
    assert (tmp_path / "0" / "runs").read_text() == "x"
    table = curves(outcomes)
    assert table[(table.trial == 1) & (table.metric == "m")].value.tolist() == [0.4, 0.8]


def test_a_trial_that_dies_is_reported_and_the_others_go_on(tmp_path):
    outcomes = controller(tmp_path, RecordingTracker()).run([request(0, -1.0), request(1, 0.4)])
    assert [o.status for o in outcomes] == ["Failed", "Completed"]
    assert "cannot go on" in outcomes[0].note


def test_at_the_deadline_running_trials_are_stopped_and_keep_their_metric(tmp_path):
    outcomes = controller(tmp_path, RecordingTracker(), deadline=time.monotonic() + 3).run([request(0, 0.3, sleep=60)])
    assert outcomes[0].status == "Canceled"
    assert outcomes[0].metrics == {"m": 0.3}


def test_an_interrupted_trial_is_canceled_and_a_repeated_epoch_counts_once(tmp_path):
    lines = [{"event": "epoch", "epoch": 1, "metrics": {"m": 0.5}, "seconds": 1.0}] * 2 + [{"event": "interrupted"}]
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = controller(tmp_path, RecordingTracker())._outcome(request(0, 0.1))
    assert (outcome.status, outcome.epochs, outcome.seconds, outcome.metrics) == ("Canceled", 1, 1.0, {"m": 0.5})


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_trials_and_says_how_to_go_on(tmp_path, sign):
    main = tmp_path / "main.py"
    main.write_text(
        textwrap.dedent(
            f"""
            import sys, pathlib
            from automl_images.core.tracking import NullTracker
            from automl_images.core.errors import Interrupted
            from automl_images.sweep.controller import TrialController
            from automl_images.sweep.trials import TrialRequest
            request = TrialRequest(0, "t", "model", {{"score": 0.1, "sleep": 60}}, ["a"], "x", "y", "h", {{}}, "m")
            program = {PROGRAM!r}
            try:
                TrialController(pathlib.Path({str(tmp_path)!r}), lambda f: [sys.executable, "-c", program, str(f)], {{}},
                                NullTracker(), "job", 1, None, "m").run([request])
            except Interrupted as error:
                print(error); sys.exit(error.exit_code)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(main)], stdout=subprocess.PIPE, text=True)
    events = tmp_path / "0" / "events.jsonl"
    deadline = time.monotonic() + 60
    while not (events.exists() and events.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sign)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert json.loads(events.read_text().splitlines()[0])["epoch"] == 1
