"""Finding and fetching files of weights, with a network that is not there."""

import pytest
import timm

from automl_images.models import weight_files
from automl_images.models.catalogue import MODELS
from automl_images.models.weights import is_here

REPOSITORY = "timm/mobilenetv2_100.ra_in1k"


def test_file_in_the_cache_of_the_hub_is_found(tmp_path):
    folder = tmp_path / "hf_cache" / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    source = MODELS.get("mobilenetv2").sources[0]
    assert source.name == REPOSITORY
    assert not is_here(source)
    assert weight_files.find(source.kind, source.name) is None
    (snapshot / "model.safetensors").write_bytes(b"tensors")
    assert is_here(source)
    assert weight_files.find(source.kind, source.name) == ("cache", snapshot / "model.safetensors")


def test_carried_file_is_here_and_others_are_not():
    here = [is_here(source) for source in MODELS.get("efficientnet_lite0").sources]
    assert here == [False, True]
    assert weight_files.here("package", "no_such_package:*.pth") is None


HUB = sorted({source.name for name in MODELS for source in MODELS.get(name).sources if source.kind == "timm"})


@pytest.mark.parametrize("repository", HUB)
def test_hub_repository_is_one_that_timm_knows(repository):
    trained = timm.get_pretrained_cfg(repository.removeprefix("timm/"))
    assert trained.hf_hub_id == repository
    assert trained.license == "apache-2.0"


def test_unreachable_hub_is_given_up_quickly(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weight_files, "_answers", lambda _: __import__("time").sleep(30))
    monkeypatch.setattr(weight_files, "PROBE_SECONDS", 0.05)
    assert not weight_files.reachable("https://hub.invalid")


def test_refused_connection_counts_as_unreachable(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert not weight_files.reachable("http://127.0.0.1:9")


def test_failed_download_leaves_no_file_and_falls_through(tmp_path):
    assert not weight_files._fetch((tmp_path / "absent").as_uri(), tmp_path / "cache" / "a-00000000.pth")
    (tmp_path / "wrong.pth").write_bytes(b"something else")
    assert not weight_files._fetch((tmp_path / "wrong.pth").as_uri(), tmp_path / "cache" / "a-00000000.pth")
    assert list((tmp_path / "cache").glob("*")) == []
