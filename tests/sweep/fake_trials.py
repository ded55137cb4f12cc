"""Trials that are small programs: they write what a real trial writes, die and refuse as they are told."""

import sys
import textwrap

from automl_images.core.errors import SettingsError
from automl_images.core.tracking import NullTracker
from automl_images.sweep.budget import Budget
from automl_images.sweep.controller import TrialController
from automl_images.sweep.executors import LocalExecutor
from automl_images.sweep.study import JobStudy
from automl_images.sweep.trials import TrialRequest

PROGRAM = textwrap.dedent(
    """
    import json, os, pathlib, signal, sys, time
    folder = pathlib.Path(sys.argv[1])
    values = json.loads((folder / "trial.json").read_text())["hyperparameters"]
    score, epochs, sleep = values["score"], values.get("epochs", 2), values.get("sleep", 0)
    state = folder / "state"
    done = int(state.read_text()) if state.exists() else 0
    def tell(**event):
        with (folder / "events.jsonl").open("a") as log:
            log.write(json.dumps(event) + "\\n")
    signals = []
    def leave(*_):  # a real trial leaves at once when a second signal comes, and else finishes its step
        signals.append(1)
        if len(signals) > 1:
            os._exit(143)
    def fill_disk():
        if not (folder.parent / "room").exists():
            tell(event="failed", kind="DiskFullError", reason="The disk is full", is_final=True); sys.exit(74)
    signal.signal(signal.SIGTERM, leave)
    tell(event="started", resumed=done > 0)
    status = "completed"
    for epoch in range(done + 1, epochs + 1):
        if values.get("dies") and epoch == 2:
            count = folder / "deaths"
            deaths = int(count.read_text()) if count.exists() else 0
            if deaths < values["dies"]:
                count.write_text(str(deaths + 1)); print("about to die", flush=True); os.kill(os.getpid(), signal.SIGKILL)
        if values.get("killed"):
            print("epoch", "x" * (os.getpid() % 9), flush=True); os.kill(os.getpid(), signal.SIGKILL)
        if values.get("refuses"):
            tell(event="failed", kind="TrainingError", reason="loss is no number", is_final=True); sys.exit(1)
        if values.get("fills") == epoch:
            fill_disk()
        if values.get("exhausts"):
            tell(event="failed", kind="MemoryExhaustedError", reason="not one image fits", is_final=True); sys.exit(1)
        if values.get("breaks"):
            print("RuntimeError: device 7 is broken,", "so said " * (os.getpid() % 9)); sys.exit(1)
        while values.get("hangs"):
            time.sleep(0.02)
        begun = time.monotonic()
        while time.monotonic() - begun < sleep and not (folder / "stop.json").exists() and not signals:
            time.sleep(0.02)
        if values.get("fills") == "at stop" and (folder / "stop.json").exists():
            fill_disk()
        if signals:
            time.sleep(values.get("saves", 0)); tell(event="interrupted"); sys.exit(143)
        tell(event="epoch", epoch=epoch, epochs=epochs, metrics={"m": score * epoch}, seconds=0.1, log_loss_train=1.0,
             primary_metric=score * epoch, primary_metric_name="m", is_best=True)
        state.write_text(str(epoch))
        if (folder / "stop.json").exists():
            status = "stopped"; break
    result = {"status": status, "best_epoch": epoch, "epochs": epoch, "seconds": 0.1 * epoch,
              "metrics": {"m": score * epoch}, "primary_metric": score * epoch}
    (folder / "result.json").write_text(json.dumps(result))
    """
)


class RecordingTracker(NullTracker):
    def __init__(self):
        self.metrics, self.ended = [], {}

    def log_metrics(self, run_id, metrics, step, at=None):
        self.metrics.append((run_id, step, metrics["m"]))

    def end(self, run_id, status):
        self.ended[run_id] = status


def request(number, configuration):
    if "refused" in configuration:
        raise SettingsError("no model can have this")
    recipe = configuration.get("recipe", "")
    return TrialRequest(number, "t", "model", dict(configuration), ["a"], "x", "y", "h", {}, "m", recipe)


def sweep(folder, configurations, tracker=None, concurrent=2, pruner=None, study=None, trials=None, **budget):
    """Return a controller that tries the given configurations in turn."""
    return TrialController(
        folder,
        study or JobStudy(folder, "job", None, pruner=pruner),
        lambda trial, seconds_left: configurations[trial.number],
        request,
        LocalExecutor(concurrent, lambda trial: [sys.executable, "-c", PROGRAM, str(trial)], {}),
        tracker or RecordingTracker(),
        "job",
        Budget(len(configurations) if trials is None else trials, **budget),
    )
