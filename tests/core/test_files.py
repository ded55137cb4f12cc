"""Writing files: what a reader sees when the writer dies or the disk is full."""

import os
import platform
import subprocess
import sys

import pytest

from automl_images.core import files
from automl_images.core.errors import DiskFullError
from automl_images.core.files import replacing, write_bytes


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
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_named_and_the_old_file_stays(small_disk):
    """F7: the path, what is free, and the way out."""
    path = small_disk / "model.bin"
    write_bytes(path, bytes(600_000))
    with pytest.raises(DiskFullError, match=rf"{path} cannot be written, \d+ bytes are free .* run the same command"):
        write_bytes(path, bytes(900_000))
    assert path.stat().st_size == 600_000
    assert [p.name for p in small_disk.iterdir()] == ["model.bin"]
