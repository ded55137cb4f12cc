"""The order in which weights are looked for, and what is refused."""

import hashlib
import logging
import math
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from automl_images.core.errors import ModelError
from automl_images.core.files import write_json
from automl_images.core.hyperparameters import resolve
from automl_images.models import tensors, weight_files
from automl_images.models.catalogue import MODELS, build_model

LITE = "fasterrcnn_efficientnet_lite0_fpn"
R18 = "fasterrcnn_resnet18_fpn"
TASK = "image_classification"
MOBILENET_FILE = Path(__file__).parents[3] / "shared/weights/mobilenet_v2_torchvision/mobilenet_v2-b0353104.pth"


def build(name, settings, chosen, classes=("a", "b")):
    return build_model("object_detection", name, classes, settings(name), chosen)


def classifier(name, chosen, classes=("a", "b"), **given):
    return build_model(TASK, name, classes, resolve(TASK, name, given), chosen)


def saved(model, folder, **record):
    """Write a network's tensors, with the record of its classes where there is one."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    if record:
        write_json(folder / "settings.json", record)
    return folder / "model.safetensors"


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
    _, path = weight_files.here(source.kind, source.name)
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
    ("record", "classes", "note"),
    [
        ({}, "abc", "New head: 3 classes, network.classifier.weight is (2, 1280) there."),
        ({"classes": ["a", "b"]}, "abc", "New head: 3 classes instead of 2."),
        ({"classes": ["a", "c"]}, "ab", "New head: the 2 classes are others than the file's."),
        ({"classes": ["a", "b"]}, "ab", "the network."),
        ({}, "ab", "the network. Its head, too: it does not say for which classes."),
    ],
)
def test_learning_goes_on_from_an_earlier_model_with_a_new_head_for_new_classes(record, classes, note, tmp_path):
    torch.manual_seed(1)
    first = classifier("mobilenetv2", None).model
    path = saved(first, tmp_path, **record)
    torch.manual_seed(2)
    built = classifier("mobilenetv2", path, classes=tuple(classes))
    assert built.weights.note.endswith(note)
    old, new = first.state_dict(), built.model.state_dict()
    assert all(torch.equal(new[name], value) for name, value in old.items() if "classifier" not in name)
    same_head = torch.equal(new["network.classifier.weight"], old["network.classifier.weight"])
    assert same_head == ("New head" not in note)


def test_backbone_alone_makes_a_new_head(tmp_path):
    state = classifier("mobilenetv2", None).model.network.state_dict()
    torch.save({n: v for n, v in state.items() if not n.startswith("classifier.")}, tmp_path / "body.pth")
    note = classifier("mobilenetv2", tmp_path / "body.pth").weights.note
    assert note.endswith("loaded into the network. New head: 2 classes, the file has none for them.")


@pytest.mark.parametrize(("given", "wanted"), [("resnet34", "resnet18"), ("resnet18", "resnet34")])
def test_weights_of_a_deeper_or_shallower_network_are_refused(given, wanted, tmp_path):
    path = saved(classifier(given, None).model, tmp_path)
    reason = "have no place, such as" if given == "resnet34" else "are missing, such as"
    with pytest.raises(ModelError, match=f"another network .* {reason} 'network.layer1.2."):
        classifier(wanted, path)


def test_position_embeddings_are_resampled_for_another_crop(tmp_path):
    first = classifier("vits16r224", None, validation_crop_size=64, training_crop_size=64).model
    with torch.no_grad():
        first.network.pos_embed[:, 1:] = torch.linspace(-1, 1, 4).repeat_interleave(4)[None, :, None]
    path = saved(first, tmp_path)
    second = classifier("vits16r224", path, validation_crop_size=96, training_crop_size=96).model
    assert torch.equal(second.network.pos_embed[:, 0], first.network.pos_embed[:, 0])
    rows = second.network.pos_embed[0, 1:, 0].reshape(6, 6)
    assert torch.allclose(rows, rows[:, :1].expand(6, 6), atol=1e-5)
    assert (rows[:, 0].diff() > 0).all()
    assert torch.allclose(rows[:, 0], -rows[:, 0].flip(0), atol=1e-5)
    assert torch.equal(second.network.blocks[3].attn.qkv.weight, first.network.blocks[3].attn.qkv.weight)


def test_a_file_with_odd_position_embeddings_is_refused_not_resampled(tmp_path):
    state = classifier("vits16r224", None, validation_crop_size=32, training_crop_size=32).model.network.state_dict()
    torch.save({**state, "pos_embed": torch.zeros(1, 8, 384)}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match="such as 'pos_embed'"):
        classifier("vits16r224", tmp_path / "odd.pth", validation_crop_size=64, training_crop_size=64)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_resnets_are_the_same_networks(name, tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name)
    for norm in (m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = classifier(name, tmp_path / "theirs.pth", classes=[str(n) for n in range(1000)]).model
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(theirs.eval()(images), ours.eval()(images), atol=1e-5)


@pytest.mark.skipif(not MOBILENET_FILE.is_file(), reason=f"{MOBILENET_FILE.name} is not on this machine")
def test_torchvision_mobilenet_is_the_same_network(tmp_path):
    folder = tmp_path / "torch_home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / MOBILENET_FILE.name).symlink_to(MOBILENET_FILE)
    built = classifier("mobilenetv2", "auto")
    assert built.weights.source == f"cache:{MOBILENET_FILE.name}"
    assert built.weights.pretrained
    theirs = torchvision.models.mobilenet_v2(weights="IMAGENET1K_V1").eval()
    images = torch.rand(2, 3, 96, 96) * 4 - 2
    with torch.no_grad():
        expected = theirs.features(images)
        actual = built.model.eval().network.forward_features(images)
    assert expected.abs().max() > 1
    assert torch.allclose(expected, actual, atol=1e-5)


def test_lite0_of_the_package_keeps_what_it_knows():
    """The package's own head on our network tells apart what it told apart: its answers to noise are not uniform."""
    built = classifier("efficientnet_lite0", "auto")
    assert built.weights.source.startswith("package:")
    source = MODELS.get("efficientnet_lite0").sources[-1]
    state = tensors.read_state(weight_files.here(source.kind, source.name)[1])
    network = built.model.eval().network
    assert torch.equal(network.conv_head.weight, state["_conv_head.weight"])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        features = network.forward_head(
            network.forward_features(torch.randn(2, 3, 224, 224, generator=generator)), True
        )
        entropy = torch.distributions.Categorical(logits=features @ state["_fc.weight"].T + state["_fc.bias"]).entropy()
    assert (entropy < 0.9 * math.log(1000)).all()


def test_counters_of_norms_may_lack_in_a_file_that_is_matched_by_order(tmp_path):
    norm = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2)).state_dict()
    file = {f"other.{name}": value for name, value in norm.items() if not name.endswith("num_batches_tracked")}
    assert set(tensors.matched_by_order(file, norm, tmp_path)) == set(norm) - {"1.num_batches_tracked"}
    with pytest.raises(ModelError, match="of 8 tensors fit"):
        tensors.matched_by_order(dict(reversed(file.items())), norm, tmp_path)


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
        tensors.read_state(tmp_path / "module.pth")


def test_folding_makes_norms_behave_as_with_the_other_epsilon():
    norm, other = nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4, eps=0.0).eval()
    state = {"weight": torch.rand(4) + 0.5, "bias": torch.rand(4), "running_mean": torch.rand(4)}
    state |= {"running_var": torch.tensor([1e-6, 1e-4, 0.1, 3.0]), "num_batches_tracked": torch.tensor(1)}
    norm.load_state_dict(state)
    other.load_state_dict(state)
    tensors.fold_norm_epsilon(norm, 0.0)
    images = torch.rand(2, 4, 3, 3)
    assert torch.allclose(norm(images), other(images), rtol=1e-4, atol=1e-4)
