"""The database of studies: its address, and who may open it, and when."""

import sys

import pytest
from at_once import open_at_once

from automl_images.core.databases import shown_url
from automl_images.core.errors import SettingsError
from automl_images.sweep.storage import checked_url
from automl_images.sweep.study import JobStudy


def test_several_controllers_may_first_use_a_file_at_the_same_moment(tmp_path):
    urls = [f"sqlite:///{tmp_path}/{n}.db" for n in range(2)]
    assert open_at_once(tmp_path, urls) == "opened\n" * 6


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "got 'nonsense': this is no address"),
        ("", "got '': this is no address"),
        ("sqlite:x.db", "got 'sqlite:x.db': this is no address"),
        (5, "got 5"),
        (False, "got False"),
        (["sqlite:///x"], r"got \['sqlite:///x'\]"),
        ("http://host/x", "no kind of database is called 'http' here"),
        ("postgresql+nodriver://u@h/x", "no kind of database is called 'postgresql.nodriver' here"),
        ("mysql+nosuchdriver://u@h/x", "no kind of database"),
        ("postgresql+pg8000://u:canary@h:port/x", "got 'postgresql.pg8000://u@h:port/x': its port, or"),
        ("postgres://u:cana/ry@h:port/x", "got 'postgres://u@h:port/x': its port, or"),
        ("postgres://u:cana@ry:canary@h:99999/x", "got 'postgres://u@h:99999/x': its port, or"),
        ("postgres://u:canary@h:99999/x", r"its port must lie in \[1, 65535\]"),
        ("postgres://me@corp:canary@h/x?sslmode=require", "unexpected keyword argument 'sslmode'"),
        ("postgres://h/x?password=canary", "missing a required argument: 'user'"),
        ("postgresql:u:canary@h/x", "got 'h/x': this is no address"),
        ("sqlite:///x.db?timeout=long", "another number in it, is no number"),
        ("postgres://u:$CANARY@h:port/x", "got 'postgres://u@h:port/x'"),
    ],
)
def test_what_is_no_address_of_a_database_is_told_without_its_password(url, message, monkeypatch, tmp_path):
    monkeypatch.setenv("CANARY", "canary")
    with pytest.raises(SettingsError, match=rf"^study_storage must be .* such as postgresql.*{message}") as caught:
        checked_url(url)
    assert "cana" not in str(caught.value).lower()
    if url:
        with pytest.raises(SettingsError):
            JobStudy(tmp_path, "job", url)


def test_a_driver_that_is_not_installed_is_named_with_the_extra_that_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(SettingsError, match=r"driver pg8000 is not installed: pip install 'automl-images\[postgres\]'"):
        checked_url("postgres://u@h/x")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("postgres://u:$WORD@h/x", "postgresql+pg8000://u:a%2Fb%40c@h/x"),
        ("postgresql://u@h:5432/x", "postgresql+pg8000://u@h:5432/x"),
        ("postgresql+pg8000://u@h/x?application_name=me", "postgresql+pg8000://u@h/x?application_name=me"),
        ("sqlite:////folder/x.db", "sqlite:////folder/x.db"),
        ("sqlite:///C:/me@home/x.db", "sqlite:///C:/me@home/x.db"),
    ],
)
def test_an_address_is_taken_with_its_secrets_and_a_driver(url, same, monkeypatch):
    monkeypatch.setenv("WORD", "a/b@c")
    assert checked_url(url) == same
    assert shown_url(url) == url.replace(":$WORD", "")
