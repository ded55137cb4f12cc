"""Results that cannot be written are told before anything is read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from automl_images.core.errors import SettingsError
from automl_images.datasets.files import JSONDataset
from automl_images.jobs.places import check_places

ROOT = Path(__file__).parents[2]


def check(*paths, store=None):
    catalog = DataCatalog({f"t.{n}": JSONDataset(filepath=str(path)) for n, path in enumerate(paths)})
    nodes = [node(lambda: 1, None, f"t.{n}", name=str(n)) for n in range(len(paths))]
    check_places(pipeline(nodes), catalog, store)


def test_places_that_can_be_written_are_left_as_they_are(tmp_path):
    check(tmp_path / "new" / "deep" / "a.json", tmp_path / "b", store=tmp_path / "store" / "mlflow.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("root", ["/proc/x", os.devnull + "/x"])
def test_a_place_that_cannot_be_made_is_named(tmp_path, root):
    with pytest.raises(SettingsError, match=f"where {root} belongs: .*data_root=DIR") as caught:
        check(tmp_path / "a.json", f"{root}/b.json")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=f"where {root} belongs: .*mlflow_tracking_uri"):
        check(tmp_path / "a.json", store=Path(root, "mlflow.db"))


@pytest.fixture
def read_only(tmp_path):
    """A folder on a file system that is mounted for reading only: `chmod` does not stop root."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a file system")
    if (result := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"a file system cannot be mounted here: {result.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("env", ["local", "test"])
def test_a_run_on_a_read_only_file_system_is_refused_before_it_starts(read_only, env):
    params = f"data_root={read_only}/data,object_detection.source.path=no/such/file.json"
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=object_detection", "--env", env, "--params", params]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 2, said
    assert f"Nothing can be written in {read_only} (Read-only file system)" in said
    assert "no/such/file.json" not in said
    assert "same command" not in said
    assert "Traceback" not in said


def test_a_database_of_studies_that_is_none_is_told_before_anything_is_read(tmp_path):
    params = f"data_root={tmp_path},study_storage=nonsense,object_detection.source.path=no/such/file.json"
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=object_detection", "--env=test", "--params", params]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 2, said
    assert "study_storage must be the address of a database" in said
    assert "no/such/file.json" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("storage", [None, "", "sqlite:///studies.db"])
def test_an_address_that_may_be_right_is_not_connected(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_places(pipeline([]), DataCatalog({"params:study_storage": MemoryDataset(storage)}), None)
    assert list(tmp_path.iterdir()) == []
