"""Commands as the user's shell takes them."""

import os
import sys
from pathlib import Path

import pytest

from automl_images.core.commands import UNDER_UV, kedro_command, own_command


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Pretend to be started by a program of a folder, which is on the PATH or is not."""

    def start(program, *arguments, on_path=True, under_uv=False):
        for name in ("kedro", "automl-images", "python"):
            (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path) if on_path else os.devnull)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setattr(sys, "argv", [program if " " in program else str(tmp_path / program), *arguments])
        monkeypatch.chdir(tmp_path.parent)
        if under_uv:
            monkeypatch.setenv(UNDER_UV, "1")
        else:
            monkeypatch.delenv(UNDER_UV, raising=False)
        return Path(tmp_path.name)

    return start


def test_a_program_on_the_path_goes_by_its_name(started):
    started("kedro", "run", "--params", "a b")
    assert (kedro_command(), own_command()) == ("kedro", "kedro run --params 'a b'")
    started("automl-images", "--pipelines", "t")
    assert (kedro_command(), own_command()) == ("kedro", "automl-images --pipelines t")


def test_a_program_elsewhere_goes_by_its_path(started):
    folder = started("kedro", "run", on_path=False)
    assert (kedro_command(), own_command()) == (f"{folder}/kedro", f"{folder}/kedro run")


def test_a_module_is_no_quoted_word(started):
    started("python -m kedro", "run")
    assert (kedro_command(), own_command()) == ("python -m kedro", "python -m kedro run")
    folder = started("python -m kedro", "run", on_path=False)
    assert own_command() == f"{folder}/python -m kedro run"


def test_under_uv_run_uv_is_named(started):
    started("kedro", "run", on_path=False, under_uv=True)
    assert (kedro_command(), own_command()) == ("uv run kedro", "uv run kedro run")
    started("python -m kedro", "run", under_uv=True)
    assert (kedro_command(), own_command()) == ("uv run kedro", "uv run python -m kedro run")
