import signal

import pytest

from automl_images.core.failpoints import VARIABLE, FailpointReached, failpoint


def test_off_without_the_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    failpoint("training:step:1")


def test_only_the_named_place_acts(monkeypatch):
    monkeypatch.setenv(VARIABLE, "training:step:2:raise")
    failpoint("training:step:1")
    failpoint("training:step:2:raise")
    with pytest.raises(FailpointReached, match="training:step:2"):
        failpoint("training:step:2")


def test_interrupt_is_a_real_signal(monkeypatch, request):
    monkeypatch.setenv(VARIABLE, "here:interrupt")
    # Where pytest itself runs in the background of a shell, Python begins with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt):
        failpoint("here")


def test_an_unknown_action_is_named(monkeypatch):
    monkeypatch.setenv(VARIABLE, "here:explode")
    with pytest.raises(ValueError, match="explode"):
        failpoint("here")
