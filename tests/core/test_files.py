"""Writing files: what a reader sees when the writer dies or the disk is full."""

import contextlib
import os
import platform
import shutil
import sqlite3
import subprocess
import sys

import pytest

from automl_images.core import files
from automl_images.core.errors import DiskFullError, ModelError
from automl_images.core.files import disk_may_be_full, replacing, write_bytes


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_what_a_killed_writer_left_is_removed_by_the_next_process(tmp_path):
    program = f"from automl_images.core.files import write_bytes; write_bytes({str(tmp_path / 'x.bin')!r}, b'new')"
    environment = {**os.environ, "AUTOML_IMAGES_FAILPOINT": "write:x.bin:kill"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert [p.name.startswith(files.TEMPORARY_PREFIX) for p in tmp_path.iterdir()] == [True]
    foreign = tmp_path / f"{files.TEMPORARY_PREFIX}otherhost-1-x"
    alive = tmp_path / f"{files._OWN_PREFIX}{os.getpid()}-x"
    foreign.touch()
    alive.touch()
    assert platform.node()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {p.name for p in tmp_path.iterdir()} == {"x.bin", foreign.name, alive.name}
    assert (tmp_path / "x.bin").read_bytes() == b"new"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte; only root can make one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_is_named_and_the_old_file_stays(small_disk):
    """F7: the path, what is needed, what is free, and the way out."""
    path = small_disk / "model.bin"
    write_bytes(path, bytes(600_000))
    free = shutil.disk_usage(small_disk).free
    words = rf"{path} cannot be written, it needs 900000 bytes, {free} are free there.* run the same command"
    with pytest.raises(DiskFullError, match=words):
        write_bytes(path, bytes(900_000))
    assert path.stat().st_size == 600_000
    assert [p.name for p in small_disk.iterdir()] == ["model.bin"]


def test_a_full_disk_is_found_in_what_libraries_make_of_it(small_disk):
    """F7: SQLAlchemy, Optuna and MLflow hide the error of SQLite in one of their own."""
    file = small_disk / "store.db"

    def fill():
        try:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                connection.execute("CREATE TABLE t (content BLOB)")
                connection.execute("INSERT INTO t VALUES (?)", (bytes(2_000_000),))
                connection.commit()
        except sqlite3.OperationalError as error:
            raise RuntimeError("the store says no") from error

    with pytest.raises(DiskFullError, match=rf"{file} cannot be written"), disk_may_be_full(file):
        fill()
    with pytest.raises(sqlite3.OperationalError, match="syntax"), disk_may_be_full(file):
        sqlite3.connect(":memory:").execute("no words of SQL")


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_a_full_disk_is_found_whoever_writes(small_disk, library):
    """F7: torch names a position in the file instead."""
    import safetensors.torch
    import torch

    save = torch.save if library == "torch" else safetensors.torch.save_file
    with (
        pytest.raises(DiskFullError, match=r"weights\.pt cannot be written"),
        replacing(small_disk / "weights.pt") as temporary,
    ):
        save({"weight": torch.zeros(500_000)}, temporary)
    assert not list(small_disk.iterdir())


def test_an_error_of_another_cause_stays_what_it_is(small_disk):
    write_bytes(small_disk / "most", bytes(1_000_000))
    with pytest.raises(ModelError), replacing(small_disk / "x"):
        raise ModelError("no model")
    with pytest.raises(OSError, match="Not a directory"):
        write_bytes(small_disk / "most" / "folder" / "x", b"")
