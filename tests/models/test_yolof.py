"""YOLOF: matching, joint scores, boxes and losses by hand."""

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from automl_images.models import yolof

NAME = "mmd-3x-yolof_r50_c5_8x8_1x_coco"


@pytest.fixture
def model(settings):
    torch.manual_seed(0)
    values = settings(NAME, box_score_threshold=0.001)
    return yolof.build_yolof(("a", "b", "c"), values, backbone="resnet18")


def squares(*rows):
    """Boxes from rows of centre x, centre y, width, height."""
    centre, size = torch.tensor(rows, dtype=torch.float32).split(2, dim=1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


def test_four_nearest_anchors_belong_to_an_object():
    anchors = squares(*((x, 50, 40, 40) for x in range(0, 200, 10)))
    matches = yolof.uniform_matches(squares((101, 50, 40, 40)), anchors)
    assert matches[[9, 10, 11, 12]].tolist() == [0, 0, 0, 0]
    assert (matches >= 0).sum() == 4
    assert (matches == yolof.NO_OBJECT).sum() == 16


def test_matches_that_overlap_little_and_others_that_overlap_much_are_undecided():
    far = squares((50, 50, 40, 40), (95, 50, 40, 40), (0, 300, 10, 10), (500, 500, 10, 10))
    assert yolof.uniform_matches(squares((50, 50, 40, 40)), far).tolist() == [0, -2, -2, -2]
    many = squares(*((50 + shift, 50, 40, 40) for shift in (0, 1, 2, 3, 4, 30)))
    assert yolof.uniform_matches(squares((50, 50, 40, 40)), many).tolist() == [0, 0, 0, 0, -2, -1]


def test_an_anchor_near_two_objects_belongs_to_the_nearer():
    anchors = squares((50, 50, 40, 40), (60, 50, 40, 40), (70, 50, 40, 40), (80, 50, 40, 40))
    assert yolof.uniform_matches(squares((49, 50, 40, 40), (81, 50, 40, 40)), anchors).tolist() == [0, 0, 1, 1]


def test_large_and_small_objects_get_equally_many_anchors(model):
    feature, images = torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 512, 512)
    anchors = yolof.batched.grid_anchors(model._cell, feature, images)
    matches = yolof.uniform_matches(squares((200, 200, 400, 400), (400, 60, 60, 60)), anchors)
    assert [(matches == index).sum().item() for index in (0, 1)] == [4, 4]


def test_nothing_matches_without_objects():
    assert yolof.uniform_matches(torch.zeros(0, 4), squares((9, 9, 4, 4))).tolist() == [-1]


def test_joint_logits_are_those_of_the_product_of_probabilities():
    logits, objectness = torch.randn(50, 3) * 4, torch.randn(50, 1) * 4
    product = logits.double().sigmoid() * objectness.double().sigmoid()
    joint = yolof.joint_logits(logits, objectness)
    assert torch.allclose(joint.double(), torch.logit(product), atol=1e-4)
    huge = yolof.joint_logits(torch.tensor([[80.0, -80]]), torch.tensor([[90.0]]))
    assert torch.allclose(huge, torch.tensor([[80.0, -80]]), atol=1e-3)


def test_a_centre_moves_by_less_than_a_stride():
    anchors = squares((100, 100, 256, 256))
    same = yolof.decode(torch.zeros(1, 1, 4), anchors)
    assert torch.allclose(same[0], anchors)
    moved = yolof.decode(torch.tensor([[[9.0, -9.0, 0, 0]]]), anchors)
    assert torch.allclose(moved[0], squares((132, 68, 256, 256)), atol=1e-3)


def test_losses_are_focal_and_giou_by_the_number_of_matches(model, batch, monkeypatch):
    """Nine anchors in a row, an object whose four nearest are the first ones, known outputs."""
    anchors = squares(*((x, 50, 40, 40) for x in range(50, 122, 8)))
    logits, boxes = torch.randn(1, 9, 3), anchors[None] + 2
    monkeypatch.setattr(model, "_outputs", lambda images: (logits, boxes, anchors))
    target = {"boxes": squares((50, 50, 40, 40)), "labels": torch.tensor([2])}
    losses = model.losses(batch[0][:1], [target])
    wanted = torch.zeros(9, 3)
    wanted[:4, 2] = 1
    focal = sigmoid_focal_loss(logits[0], wanted, alpha=0.25, gamma=2.0)
    assert losses["classification"].item() == pytest.approx(focal.sum().item() / 4, rel=1e-5)
    box = 0.0
    for shift in (0, 8, 16, 24):  # a square of 40 moved right by `shift + 2` and down by 2
        shared = (38 - shift) * 38
        union, hull = 3200 - shared, (42 + shift) * 42
        box += 1 - (shared / union - (hull - union) / hull)
    assert losses["box"].item() == pytest.approx(box / 4, rel=1e-4)
