import math

import pytest
import torch
from torch import nn

from automl_images.models.yolov5.network import SCALES, STRIDES, PyramidPooling, YOLOv5Network

MILLIONS = {"small": (6.5, 8), "medium": (20, 23), "large": (45, 49), "extra_large": (85, 91)}


@pytest.mark.parametrize("model_size", SCALES)
def test_number_of_parameters(model_size):
    with torch.device("meta"):
        network = YOLOv5Network(SCALES[model_size], 80)
    low, high = MILLIONS[model_size]
    assert low < sum(p.numel() for p in network.parameters()) / 1e6 < high


@pytest.mark.parametrize("model_size", SCALES)
def test_shapes_of_every_size(model_size):
    with torch.device("meta"):
        network = YOLOv5Network(SCALES[model_size], 3).eval()
        maps = network(torch.zeros(2, 3, 96, 160))
    assert [tuple(raw.shape) for raw in maps] == [(2, 3, 96 // s, 160 // s, 8) for s in STRIDES]


@pytest.mark.parametrize("num_classes", [1, 2, 80])
def test_biases_begin_at_the_prior(num_classes):
    network = YOLOv5Network(SCALES["small"], num_classes)
    for level, cells in zip(network.head.levels, (6400, 1600, 400), strict=True):
        bias = level.bias.detach().view(3, 5 + num_classes)
        assert bias[:, 4].tolist() == pytest.approx([math.log(8 / cells)] * 3)
        assert bias[:, 5:].flatten().tolist() == pytest.approx([math.log(0.6 / (num_classes - 0.99))] * 3 * num_classes)


def test_a_single_class_has_the_same_probability_everywhere():
    network = YOLOv5Network(SCALES["small"], 1).eval()
    with torch.no_grad():
        maps = network(torch.rand(1, 3, 64, 64))
    for raw in maps:
        assert raw[..., 5].min() == raw[..., 5].max() > 4


def test_three_poolings_of_five_are_windows_of_five_nine_and_thirteen():
    block = PyramidPooling(8).eval()
    block.fuse = nn.Identity()
    features = torch.randn(1, 8, 20, 20)
    with torch.no_grad():
        reduced = block.reduce(features)
        windows = [nn.MaxPool2d(size, 1, size // 2)(reduced) for size in (5, 9, 13)]
        assert torch.equal(block(features), torch.cat([reduced, *windows], 1))
