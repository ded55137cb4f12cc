import pytest

from automl_images.core.events import EventFollower, EventLog, read_events
from automl_images.core.files import TEMPORARY_PREFIX, fingerprint, read_json, replacing, write_json, write_text


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(IsADirectoryError), replacing(path) as temporary:
        _write_half_and_fail(temporary)
    assert read_json(path) == {"old": 1}
    assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*"))


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_fingerprint_ignores_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_follower_sees_each_event_once_and_waits_for_the_end_of_a_line(tmp_path):
    log, follower = EventLog(tmp_path / "events.jsonl"), EventFollower(tmp_path / "events.jsonl")
    log.write("started")
    log.write("epoch", epoch=1)
    assert [e["event"] for e in follower.new_events()] == ["started", "epoch"]
    with log.path.open("a") as stream:
        stream.write('{"event": "ep')
    assert not list(follower.new_events())


def test_a_torn_line_is_ended_and_skipped(tmp_path):
    path = tmp_path / "events.jsonl"
    write_text(path, '{"event": "started"}\n{"event": "ep')
    EventLog(path).write("finished")
    assert [e["event"] for e in read_events(path)] == ["started", "finished"]


def _write_half_and_fail(path):
    path.write_text("half")
    path.parent.write_text("a folder")
