import pytest
import torch
from tiny_learner import settings
from torch import nn, optim

from automl_images.core.errors import TrainingError
from automl_images.models.base import Network
from automl_images.training.optimizers import make_optimizer, parameter_groups


class Everything(nn.Module):
    """One of each kind of parameter."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.batch_norm = nn.BatchNorm2d(4)
        self.layer_norm = nn.LayerNorm((4, 5))  # a norm weight of two dimensions
        self.group_norm = nn.GroupNorm(2, 4)
        self.linear = nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.embedding = nn.Embedding(3, 4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.position_embedding = nn.Parameter(torch.zeros(1, 5, 4))
        self.scale = nn.Parameter(torch.ones(4))
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.linear.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def names(model, group):
    return {name for name, parameter in model.named_parameters() if any(parameter is p for p in group["params"])}


def test_groups():
    model = Everything()
    decayed, plain = parameter_groups(model, 0.01)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    assert names(model, decayed) == {
        "conv.weight",
        "linear.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
    }
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert names(model, plain) == trainable - names(model, decayed)
    assert {"class_token", "position_embedding", "layer_norm.weight", "conv.bias"} <= names(model, plain)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t", "mobilenet_v2"])
def test_every_trainable_parameter_is_in_exactly_one_group(name):
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    next(model.parameters()).requires_grad_(False)
    grouped = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}


def test_empty_groups_are_left_out_and_nothing_to_train_is_an_error():
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1
    with pytest.raises(TrainingError, match="layers_to_freeze"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)


def test_sgd():
    made = make_optimizer(nn.Linear(2, 2), settings(learning_rate=0.1, momentum=0.8), world_size=4)
    assert isinstance(made, optim.SGD)
    assert made.defaults["lr"] == pytest.approx(0.4)
    assert (made.defaults["momentum"], made.defaults["nesterov"]) == (0.8, True)
    assert make_optimizer(nn.Linear(2, 2), settings(momentum=0)).defaults["nesterov"] is False


@pytest.mark.parametrize(("name", "kind"), [("adam", optim.Adam), ("adamw", optim.AdamW)])
def test_adam(name, kind):
    made = make_optimizer(nn.Linear(2, 2), settings(optimizer=name, beta1=0.8, beta2=0.9, ams_gradient=True))
    assert type(made) is kind
    assert (made.defaults["betas"], made.defaults["amsgrad"]) == ((0.8, 0.9), True)


class Layered(Network):
    """Three layers, of which the last one is no layer group."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def layer_groups(self):
        return [[self.stem], [self.block]]

    def export_spec(self):
        raise NotImplementedError


def test_layers_near_the_input_learn_more_slowly():
    model = Layered()
    groups = parameter_groups(model, 0.01, layer_decay=0.5)
    scales = {name: group["scale"] for group in groups for name in names(model, group)}
    assert {name: scales[f"{name}.weight"] for name in ("stem", "block", "head")} == {
        "stem": 0.25,
        "block": 0.5,
        "head": 1.0,
    }
    assert all(group["scale"] == 1.0 for group in parameter_groups(model, 0.01))
