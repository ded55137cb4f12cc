import hashlib
import json

import pytest

from automl_images.core.errors import ModelError
from automl_images.inference.model_folder import read_verified, seal_folder, verify_model_folder

FILES = ["labels.json", "model.onnx", "model.safetensors", "notes.txt", "settings.json"]


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes(f"content of {name}".encode())
    seal_folder(tmp_path, {"job": "happy_otter"})
    return tmp_path


def test_the_manifest_lists_everything(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["files"]) == FILES
    content = b"content of labels.json"
    assert manifest["files"]["labels.json"] == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert manifest["job"] == "happy_otter"
    verify_model_folder(folder)
    assert read_verified(folder, "labels.json") == content


def test_sealing_twice_gives_the_same(folder):
    before = (folder / "manifest.json").read_bytes()
    (folder / ".tmp-rest").write_text("of an interrupted write")
    seal_folder(folder, {"job": "happy_otter"})
    assert (folder / "manifest.json").read_bytes() == before


def test_an_incomplete_folder_is_not_sealed(folder):
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"cannot be sealed without model\.onnx"):
        seal_folder(folder)
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} was changed after the export"):
        verify_model_folder(folder)
    with pytest.raises(ModelError, match=f"{name} was changed after the export"):
        read_verified(folder, name)


def test_a_missing_file_is_found(folder):
    (folder / "settings.json").unlink()
    with pytest.raises(ModelError, match=r"settings\.json is missing"):
        verify_model_folder(folder)
    with pytest.raises(ModelError, match=r"settings\.json is missing"):
        read_verified(folder, "settings.json")


def test_a_file_that_nobody_vouches_for_is_not_read(folder):
    (folder / "late.onnx").write_bytes(b"added later")
    with pytest.raises(ModelError, match=r"does not list late\.onnx"):
        read_verified(folder, "late.onnx")


def test_a_folder_without_manifest_is_unfinished(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"has no manifest\.json"):
        verify_model_folder(folder)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"files": {"../secret": {"sha256": "0", "size": 1}}}', '{"files": {"a": 1}}', '{"files": 3}']
)
def test_a_damaged_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match="is damaged"):
        verify_model_folder(folder)
