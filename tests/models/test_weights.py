"""The order in which weights are looked for, and what is refused."""

import hashlib
import logging

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from automl_images.core.errors import ModelError
from automl_images.models import weights
from automl_images.models.catalogue import MODELS, build_model

LITE = "fasterrcnn_efficientnet_lite0_fpn"
R18 = "fasterrcnn_resnet18_fpn"


def build(name, settings, chosen, classes=("a", "b")):
    return build_model("object_detection", name, classes, settings(name), chosen)


def named_by_hash(folder, stem, state):
    """Write a checkpoint whose name carries the start of its hash, as the hubs do."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "raw")
    digest = hashlib.sha256((folder / "raw").read_bytes()).hexdigest()
    return (folder / "raw").rename(folder / f"{stem}-{digest[:8]}.pth")


def test_carried_weights_are_used_without_hub_and_cache(settings):
    built = build(LITE, settings, "auto")
    assert built.weights.source == "package:efficientnet-lite0-57934424.pth"
    assert built.weights.sha256.startswith("57934424")
    assert built.weights.pretrained
    assert built.weights.licence == "Apache-2.0"


def test_carried_weights_classify_as_their_network_does(settings):
    """The stem's running mean is ImageNet's, so the tensors are the file's and in the right place."""
    source = next(s for s in MODELS.get(LITE).sources if s.kind == "package")
    _, path = weights._find(source)
    state = torch.load(path, weights_only=True)
    body = build(LITE, settings, "auto").model.get_submodule("backbone.body").state_dict()
    assert torch.equal(body["conv_stem.weight"], state["_conv_stem.weight"])
    assert torch.equal(body["blocks.6.0.bn3.running_var"], state["_blocks.15._bn2.running_var"])


def test_without_any_weights_the_warning_is_visible_and_kept(settings, caplog):
    with caplog.at_level(logging.WARNING):
        built = build(R18, settings, "auto")
    assert (built.weights.source, built.weights.pretrained) == ("random", False)
    assert "random weights" in built.weights.note
    assert built.weights.note in caplog.text


def test_cache_is_used_and_held_to_the_hash_in_its_name(settings, tmp_path, monkeypatch):
    torch.manual_seed(1)
    body = build(R18, settings, None).model.get_submodule("backbone.body").state_dict()
    path = named_by_hash(
        tmp_path / "torch_home" / "hub" / "checkpoints", "resnet18", {**body, "fc.weight": torch.ones(1)}
    )
    source = MODELS.get(R18).sources[0]
    monkeypatch.setattr(
        "torchvision.models.get_weight", lambda _: type("W", (), {"url": f"https://hub.invalid/{path.name}"})
    )
    built = build(R18, settings, "auto")
    assert built.weights.source == f"cache:{path.name}"
    assert built.weights.licence == source.licence
    loaded = built.model.get_submodule("backbone.body").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in body.items())
    path.write_bytes(path.read_bytes()[:-100] + b"x" * 100)
    with pytest.raises(ModelError, match="damaged"):
        build(R18, settings, "auto")


def test_own_file_of_the_same_network_is_loaded_whole(settings, tmp_path):
    torch.manual_seed(1)
    first = build(R18, settings, None).model
    path = tmp_path / "model.safetensors"
    save_file(first.state_dict(), path)
    built = build(R18, settings, path)
    assert built.weights.source == f"file:{path}"
    assert all(torch.equal(built.model.state_dict()[name], value) for name, value in first.state_dict().items())


def test_own_file_with_other_classes_leaves_the_head_random(settings, tmp_path):
    first = build(R18, settings, None).model
    path = tmp_path / "model.safetensors"
    save_file(first.state_dict(), path)
    other = build(R18, settings, path, classes=("a", "b", "c")).model
    assert other.roi_heads.box_predictor.cls_score.out_features == 4
    assert torch.equal(other.rpn.head.bbox_pred.weight, first.rpn.head.bbox_pred.weight)


def test_own_backbone_file_is_recognised(settings, tmp_path):
    body = build(R18, settings, None).model.get_submodule("backbone.body").state_dict()
    torch.save({"state_dict": body}, tmp_path / "backbone.pth")
    assert "backbone.body" in build(R18, settings, tmp_path / "backbone.pth").weights.note


def test_torchvision_checkpoint_names_are_understood(settings, tmp_path):
    """Older torchvision files call the layer of the proposal head `conv.weight`, newer `conv.0.0.weight`."""
    state = build(R18, settings, None).model.state_dict()
    old = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): value for name, value in state.items()}
    old = {name: value for name, value in old.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    loaded = build(R18, settings, tmp_path / "old.pth").model
    assert torch.equal(loaded.rpn.head.conv[0][0].weight, state["rpn.head.conv.0.0.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "cannot be read"),
        (None, "no weights file"),
        ({"other": torch.zeros(2)}, "another network"),
        ({}, "dictionary"),
    ],
)
def test_unfit_files_are_refused(content, message, settings, tmp_path):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ModelError, match=message):
        build(R18, settings, path)


def test_a_file_with_code_is_not_run(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        weights.read_state(tmp_path / "module.pth")


def test_folding_makes_norms_behave_as_with_the_other_epsilon():
    norm, other = nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4, eps=0.0).eval()
    state = {"weight": torch.rand(4) + 0.5, "bias": torch.rand(4), "running_mean": torch.rand(4)}
    state |= {"running_var": torch.tensor([1e-6, 1e-4, 0.1, 3.0]), "num_batches_tracked": torch.tensor(1)}
    norm.load_state_dict(state)
    other.load_state_dict(state)
    weights.fold_norm_epsilon(norm, 0.0)
    images = torch.rand(2, 4, 3, 3)
    assert torch.allclose(norm(images), other(images), rtol=1e-4, atol=1e-4)


def test_unreachable_hub_is_given_up_quickly(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights, "_answers", lambda _: __import__("time").sleep(30))
    monkeypatch.setattr(weights, "PROBE_SECONDS", 0.05)
    assert not weights.reachable("https://hub.invalid")


def test_refused_connection_counts_as_unreachable(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert not weights.reachable("http://127.0.0.1:9")


def test_failed_download_leaves_no_file_and_falls_through(tmp_path):
    assert not weights._fetch((tmp_path / "absent").as_uri(), tmp_path / "cache" / "a-00000000.pth")
    (tmp_path / "wrong.pth").write_bytes(b"something else")
    assert not weights._fetch((tmp_path / "wrong.pth").as_uri(), tmp_path / "cache" / "a-00000000.pth")
    assert list((tmp_path / "cache").glob("*")) == []
