"""The controller with real processes: small programs that write what a trial writes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_trials import RecordingTracker, sweep

from automl_images.core.errors import DiskFullError, Interrupted, TrainingError
from automl_images.sweep import following
from automl_images.sweep.budget import CANCEL, make_room, seconds_used
from automl_images.sweep.curves import curves
from automl_images.sweep.outcomes import kind_of_cause
from automl_images.sweep.policies import build_pruner
from automl_images.sweep.policies.bandit import BanditOptions
from automl_images.sweep.study import JobStudy
from automl_images.sweep.trials import TrialOutcome


def events(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_trials_run_are_tracked_and_not_run_twice(tmp_path):
    tracker = RecordingTracker()
    outcomes = sweep(tmp_path, [{"score": 0.2}, {"score": 0.4}], tracker).run()
    assert [(o.status, o.metrics, o.epochs) for o in outcomes] == [
        ("Completed", {"m": 0.4}, 2),
        ("Completed", {"m": 0.8}, 2),
    ]
    assert sorted(tracker.metrics) == [("job_0", 1, 0.2), ("job_0", 2, 0.4), ("job_1", 1, 0.4), ("job_1", 2, 0.8)]
    assert tracker.ended == {"job_0": "Completed", "job_1": "Completed"}
    assert sweep(tmp_path, [{"score": 0.2}, {"score": 0.4}]).run() == outcomes
    assert [e["event"] for e in events(tmp_path / "0")].count("started") == 1
    table = curves(outcomes)
    assert table[(table.trial == 1) & (table.metric == "m")].value.tolist() == [0.4, 0.8]


def test_more_trials_go_on_where_a_sweep_ended(tmp_path):
    configurations = [{"score": 0.1}, {"score": 0.3}, {"score": 0.2}]
    sweep(tmp_path, configurations, trials=1).run()
    outcomes = sweep(tmp_path, configurations).run()
    assert [o.score for o in outcomes] == pytest.approx([0.2, 0.6, 0.4])
    assert [e["trial"] for e in events(tmp_path) if e["event"] == "trial_started"] == [0, 1, 2]


def test_a_trial_that_died_is_tried_again_from_where_it_was(tmp_path):
    outcomes = sweep(tmp_path, [{"score": 0.2, "dies": 2}]).run()
    assert [(o.status, o.epochs) for o in outcomes] == [("Completed", 2)]
    assert [e["resumed"] for e in events(tmp_path / "0") if e["event"] == "started"] == [False, True, True]


def test_a_trial_that_keeps_dying_is_reported_and_the_others_go_on(tmp_path, capfd):
    outcomes = sweep(tmp_path, [{"score": 0.2, "dies": 9}, {"score": 0.4}]).run()
    assert [o.status for o in outcomes] == ["Failed", "Completed"]
    assert "SIGKILL" in outcomes[0].note
    assert "about to die" in outcomes[0].note
    assert (tmp_path / "0" / "deaths").read_text() == "3"
    assert "trying again from its last checkpoint (2 of 2)" in capfd.readouterr().out


def test_what_the_training_refuses_is_not_tried_again(tmp_path):
    outcomes = sweep(tmp_path, [{"score": 0.2, "refuses": True}] * 4 + [{"score": 0.1}], concurrent=1).run()
    assert [(o.status, o.note) for o in outcomes[:4]] == [("Failed", "loss is no number")] * 4
    assert outcomes[4].status == "Completed"
    assert all([e["event"] for e in events(tmp_path / str(n))].count("started") == 1 for n in range(4))


def test_three_trials_that_die_of_one_cause_end_the_sweep(tmp_path):
    with pytest.raises(TrainingError, match=r"\d trials died of the same cause: .*device 7 is broken"):
        sweep(tmp_path, [{"score": 0.2, "breaks": True}] * 9).run()
    assert not (tmp_path / "5").exists()


def test_three_trials_of_which_no_image_fits_into_memory_end_the_sweep_untried_again(tmp_path):
    with pytest.raises(TrainingError, match="3 trials died of the same cause: not one image fits"):
        sweep(tmp_path, [{"score": 0.2, "exhausts": True}] * 9, concurrent=1).run()
    assert [e["event"] for e in events(tmp_path / "0")].count("started") == 1
    assert not (tmp_path / "3").exists()


def test_a_full_disk_ends_the_sweep_and_the_same_command_goes_on_where_it_was(tmp_path):
    tracker = RecordingTracker()
    configurations = [{"score": 0.1}, {"score": 0.4, "fills": 2}, {"score": 0.2}]
    with pytest.raises(DiskFullError, match=r"trial 1 .*The disk is full"):
        sweep(tmp_path, configurations, tracker, concurrent=1).run()
    assert tracker.ended == {"job_0": "Completed", "job_1": "Canceled"}
    (tmp_path / "room").touch()
    outcomes = sweep(tmp_path, configurations, concurrent=1).run()
    assert [(o.status, o.epochs) for o in outcomes] == [("Completed", 2)] * 3
    assert [e["resumed"] for e in events(tmp_path / "1") if e["event"] == "started"] == [False, True]


def test_a_disk_that_is_full_when_the_time_is_up_costs_no_trial(tmp_path):
    configurations = [{"score": 0.1}, {"score": 0.4, "epochs": 20, "sleep": 0.5, "fills": "at stop"}]
    with pytest.raises(DiskFullError, match=r"trial 1 .*The disk is full"):
        sweep(tmp_path, configurations, concurrent=1, seconds=5).run()
    (tmp_path / "room").touch()
    late = sweep(tmp_path, configurations, concurrent=1, seconds=5).run()[1]
    assert (late.status, late.note) == ("Canceled", "timeout_minutes reached; then: The disk is full")


def test_a_trial_that_met_a_full_disk_when_its_time_was_up_goes_on_with_room_and_time(tmp_path):
    configurations = [{"score": 0.4, "epochs": 20, "sleep": 0.5, "fills": "at stop"}]
    with pytest.raises(DiskFullError, match="The disk is full"):
        sweep(tmp_path, configurations, concurrent=1, seconds=3).run()
    (tmp_path / "room").touch()
    (last,) = sweep(tmp_path, configurations, concurrent=1, seconds=60).run()
    assert (last.status, last.epochs) == ("Completed", 20)


def test_deaths_of_one_cause_count_whatever_was_printed_last_and_after_a_resume_too(tmp_path):
    killed = [{"score": 0.2, "killed": True}] * 9
    assert [o.status for o in sweep(tmp_path, killed, concurrent=1, trials=2).run()] == ["Failed"] * 2
    found = sweep(tmp_path, killed, concurrent=1).run
    with pytest.raises(TrainingError, match=r"3 trials died of the same cause: .*SIGKILL"):
        found()
    assert not (tmp_path / "3").exists()
    mended = killed[:3] + [{"score": 0.4}] * 2
    outcomes = sweep(tmp_path, mended, concurrent=1).run()
    assert [o.status for o in outcomes] == ["Failed"] * 3 + ["Completed"] * 2, "whoever begins again has mended it"
    assert all("SIGKILL" in o.note for o in outcomes[:3]), "what the first process saw"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tried to allocate 20.00 MiB", "tried to allocate 1.50 GiB", True),
        ("no space on /a/b", "no space on /c", True),
        ("died; last line of a: KeyError: 'x'", "died; last line of b: KeyError: 'y'", True),
        ("died; last line of a: KeyError: 'x'", "died; last line of b: OSError: 'x'", False),
        ("ended by SIGKILL; last line of a: step", "ended by SIGSEGV; last line of a: step", False),
    ],
)
def test_causes_are_compared_without_what_differs_by_trial(one, other, same):
    assert (kind_of_cause(one) == kind_of_cause(other)) is same


def test_the_policy_does_not_stop_what_the_winner_is_measured_against(tmp_path):
    policy = build_pruner(BanditOptions(slack_amount=0.1, delay_evaluation=2))
    configurations = [{"score": 0.9}, {"score": 0.5, "epochs": 4, "sleep": 0.3, "recipe": "default"}]
    outcomes = sweep(tmp_path, configurations, pruner=policy, concurrent=1).run()
    assert [(o.status, o.epochs) for o in outcomes] == [("Completed", 2), ("Completed", 4)]


def test_the_folders_of_running_trials_count_for_the_disk_budget(tmp_path):
    for name in ("loser", "running"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "state").write_bytes(bytes(1000))
    ended = [TrialOutcome(n, "m", {}, "Completed", tmp_path / str(n), score=1.0) for n in range(2)]
    loser = TrialOutcome(2, "m", {}, "Completed", tmp_path / "loser", score=0.0)
    assert make_room([*ended, loser], 1500) == []
    assert make_room([*ended, loser], 1500, [tmp_path / "running"]) == [2]
    assert (tmp_path / "running/checkpoints/state").exists()


def test_a_configuration_that_no_model_can_have_is_a_failed_trial(tmp_path):
    outcomes = sweep(tmp_path, [{"refused": 1}, {"score": 0.1}]).run()
    assert [(o.status, o.note) for o in outcomes] == [("Failed", "no model can have this"), ("Completed", "")]


def test_at_the_deadline_trials_stop_at_the_next_step_and_keep_what_they_have(tmp_path):
    outcomes = sweep(tmp_path, [{"score": 0.3, "sleep": 60}] * 5, seconds=3).run()
    assert [(o.status, o.metrics, o.note) for o in outcomes] == [
        ("Canceled", {"m": 0.3}, "timeout_minutes reached")
    ] * 2
    assert seconds_used(tmp_path) > 3
    assert sweep(tmp_path, [{"score": 0.3}] * 5, seconds=3).run() == outcomes


def test_a_trial_that_hangs_does_not_hold_the_sweep(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(following, "HANGING_SECONDS", 0.5)
    outcomes = sweep(tmp_path, [{"score": 0.5}, {"score": 0.1, "hangs": True}], seconds=3).run()
    assert [(o.status, o.note) for o in outcomes] == [
        ("Completed", ""),
        ("Canceled", "timeout_minutes reached"),
    ]
    assert "does not stop, and is ended" in capfd.readouterr().out
    assert not JobStudy(tmp_path, "job", None).unfinished(), "a job that came to something does not train it again"


def test_a_file_cancels_a_sweep(tmp_path):
    (tmp_path / CANCEL).touch()
    with pytest.raises(Interrupted, match=r"Canceled before any trial .* The same command goes on"):
        sweep(tmp_path, [{"score": 0.3}]).run()
    assert [o.score for o in sweep(tmp_path, [{"score": 0.3}]).run()] == [0.6], "the same command goes on"


def test_the_policy_stops_a_trial_which_keeps_its_status_and_can_still_be_best(tmp_path):
    policy = build_pruner(BanditOptions(slack_amount=0.1, delay_evaluation=2))
    configurations = [{"score": 0.9}, {"score": 0.5, "epochs": 50, "sleep": 0.3}]
    outcomes = sweep(tmp_path, configurations, pruner=policy, concurrent=1).run()
    assert (outcomes[1].status, outcomes[1].note) == ("Canceled", "stopped by bandit at epoch 2: 1 < 1.7")
    assert 2 <= outcomes[1].epochs < 10


def test_the_disk_budget_takes_the_weights_of_losers_only(tmp_path):
    for number in range(4):
        (tmp_path / str(number) / "checkpoints").mkdir(parents=True)
        (tmp_path / str(number) / "checkpoints" / "state").write_bytes(bytes(100_000))
        (tmp_path / str(number) / "best.safetensors").write_bytes(bytes(100_000))
    sweep(tmp_path, [{"score": s} for s in (0.3, 0.1, 0.4, 0.2)], disk_bytes=550_000).run()
    kept = {n: sorted(p.name for p in (tmp_path / str(n)).glob("*[st]*") if p.name[0] in "bc") for n in range(4)}
    assert kept[0] == kept[2] == ["best.safetensors", "checkpoints", "console.log"]
    assert "checkpoints" not in kept[1]
    assert "checkpoints" not in kept[3]
    assert "best.safetensors" not in kept[1]
    assert "best.safetensors" in kept[3]


def test_trials_left_running_go_on_and_what_finished_meanwhile_is_taken(tmp_path):
    study = JobStudy(tmp_path, "job", None)
    for number in range(2):
        study.ask(lambda trial: {"score": 0.5})
        (tmp_path / str(number)).mkdir()
    (tmp_path / "0" / "state").write_text("1")
    result = {"status": "completed", "best_epoch": 1, "epochs": 1, "seconds": 1, "metrics": {}, "primary_metric": 0.7}
    (tmp_path / "1" / "result.json").write_text(json.dumps(result))
    epoch = {"event": "epoch", "epoch": 1, "epochs": 1, "metrics": {"m": 0.7}, "primary_metric": 0.7}
    (tmp_path / "1" / "events.jsonl").write_text(json.dumps(epoch) + "\n")
    tracker = RecordingTracker()
    outcomes = sweep(tmp_path, [{}, {}, {"score": 0.1}], tracker).run()
    assert [(o.number, o.score) for o in outcomes] == [(0, 1.0), (1, 0.7), (2, 0.2)]
    assert events(tmp_path / "0")[0]["resumed"]
    assert tracker.ended == dict.fromkeys(("job_0", "job_1", "job_2"), "Completed")
    assert [(step, value) for run, step, value in tracker.metrics if run == "job_1"] == [(1, 0.7)]
    assert [e["event"] for e in events(tmp_path / "1")] == ["epoch"]


def test_a_trial_that_waits_when_the_sweep_is_canceled_is_recorded_too(tmp_path):
    JobStudy(tmp_path, "job", None).ask(lambda trial: {"score": 0.5})
    (tmp_path / "0").mkdir()
    epoch = {"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {"m": 0.7}, "primary_metric": 0.7}
    (tmp_path / "0" / "events.jsonl").write_text(json.dumps(epoch) + "\n")
    (tmp_path / CANCEL).touch()
    tracker = RecordingTracker()
    outcomes = sweep(tmp_path, [{}, {}], tracker).run()
    assert [(o.status, o.score, o.note) for o in outcomes] == [("Canceled", 0.7, "canceled")]
    assert (tracker.ended, tracker.metrics) == ({"job_0": "Canceled"}, [("job_0", 1, 0.7)])


MAIN = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from fake_trials import sweep
from automl_images.core.errors import Interrupted
if __name__ == "__main__":
    try:
        sweep(pathlib.Path({folder!r}), [{{"score": 0.1, "sleep": {sleep}, "saves": {saves}}}] * 2).run()
    except Interrupted as error:
        print(error); sys.exit(error.exit_code)
"""


def start(tmp_path, sleep=60, failpoint=None, saves=1.5):
    main = tmp_path / "main.py"
    main.write_text(MAIN.format(tests=str(Path(__file__).parent), folder=str(tmp_path), sleep=sleep, saves=saves))
    variables = {"AUTOML_IMAGES_FAILPOINT": failpoint} if failpoint else {}
    return subprocess.Popen(
        [sys.executable, str(main)], stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_trials_and_the_same_command_goes_on(tmp_path, sign):
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "1" / "events.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sign)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert [e["event"] for e in events(tmp_path / "1")] == ["started", "interrupted"]
    assert len(JobStudy(tmp_path, "job", None).unfinished()) == 2


def test_an_error_of_the_sweep_lets_running_trials_save_their_state(tmp_path, monkeypatch):
    controller = sweep(tmp_path, [{"score": 0.1, "sleep": 60, "saves": 0.5}] * 2)

    def breaks():
        if all((tmp_path / str(n) / "events.jsonl").exists() for n in range(2)):
            raise BrokenPipeError("nobody reads what is printed")

    monkeypatch.setattr(controller.study, "beat", breaks)
    with pytest.raises(BrokenPipeError):
        controller.run()
    assert [e["event"] for e in events(tmp_path / "1")] == ["started", "interrupted"]


def test_a_second_signal_leaves_at_once(tmp_path):
    process = start(tmp_path, saves=600)
    deadline = time.monotonic() + 60
    while not (tmp_path / "1" / "events.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [e["event"] for e in events(tmp_path / "1")] == ["started"]


@pytest.mark.parametrize("failpoint", ["sweep:before_ask:kill", "sweep:asked:1:kill", "sweep:before_tell:0:kill"])
def test_a_controller_that_is_killed_loses_no_trial_and_counts_none_twice(tmp_path, failpoint):
    process = start(tmp_path, sleep=0, failpoint=failpoint)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    outcomes = sweep(tmp_path, [{"score": 0.1, "sleep": 0}] * 2).run()
    assert [(o.number, o.status, o.score) for o in outcomes] == [(0, "Completed", 0.2), (1, "Completed", 0.2)]
    assert len(JobStudy(tmp_path, "job", None).asked()) == 2
