"""VarifocalNet: assignment, varifocal loss, star points and refinement by hand."""

import math

import pytest
import torch
from torchvision.ops import deform_conv2d

from automl_images.models import vfnet
from automl_images.models.atss import adaptive_matches


def anchors_of(stride, side):
    """Square anchors of `side` on a 16 x 16 grid."""
    places = vfnet.points(torch.zeros(1, 1, 16, 16), stride)
    return torch.cat([places - side / 2, places + side / 2], dim=1)


def test_varifocal_loss_by_hand():
    logits = torch.tensor([0.0, math.log(4), math.log(1 / 3)])
    losses = vfnet.varifocal_loss(logits, torch.tensor([0.0, 0.7, 0.0]))
    expected = [
        0.75 * 0.5**2 * math.log(2),
        -0.7 * (0.7 * math.log(0.8) + 0.3 * math.log(0.2)),
        -0.75 * 0.25**2 * math.log(0.75),
    ]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_varifocal_loss_is_least_where_the_score_is_the_overlap():
    logits = torch.linspace(-4, 4, 801)
    best = logits[vfnet.varifocal_loss(logits, torch.full_like(logits, 0.6)).argmin()]
    assert best.sigmoid().item() == pytest.approx(0.6, abs=0.01)


def test_an_object_takes_anchors_of_its_size_inside_it():
    levels = [anchors_of(8, 64.0), anchors_of(16, 128.0), anchors_of(32, 256.0)]
    box = torch.tensor([[40.0, 40, 104, 104]])
    matches = adaptive_matches(box, levels)
    found = (matches == 0).nonzero()[:, 0]
    assert 0 < len(found) <= 9
    assert found.max() < 256  # all on the first level
    centres = (levels[0][found, :2] + levels[0][found, 2:]) / 2
    assert ((centres > 40) & (centres < 104)).all()


def test_threshold_is_mean_plus_deviation_of_the_candidates_overlaps():
    """Four anchors on an object of 20: overlaps 1, 1/2, 1/4 and 0, of them only the first reaches .4375 + .37."""
    widths = torch.tensor([20.0, 10, 5])
    anchors = torch.stack([10 - widths / 2, torch.zeros(3), 10 + widths / 2, torch.full((3,), 20.0)], dim=1)
    away = torch.tensor([[200.0, 200, 220, 220]])
    matches = adaptive_matches(torch.tensor([[0.0, 0, 20, 20]]), [torch.cat([anchors, away])])
    assert matches.tolist() == [0, -1, -1, -1]


def test_an_anchor_of_two_objects_belongs_to_the_one_it_overlaps_most():
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 60, 60]])
    matches = adaptive_matches(boxes, [torch.tensor([[0.0, 0, 64, 64]])])
    assert matches.tolist() == [1]
    assert adaptive_matches(torch.zeros(0, 4), [torch.rand(3, 4)]).tolist() == [-1] * 3


def test_star_points_stand_on_the_box_around_the_place():
    distances = torch.zeros(1, 4, 5, 7)
    distances[0, :, 2, 3] = torch.tensor([1.0, 2.0, 1.5, 0.5])  # left, top, right, bottom
    grid = vfnet.star_grid(distances).unflatten(1, (9, 5))[0, :, 2, 3]
    cells = ((grid + 1) * torch.tensor([7, 5]) - 1) / 2
    expected = [(3, 2), (2, 2), (3, 0), (4.5, 2), (3, 2.5), (2, 0), (4.5, 0), (2, 2.5), (4.5, 2.5)]
    assert torch.allclose(cells, torch.tensor(expected), atol=1e-5)


def test_star_convolution_is_a_deformable_convolution():
    """Against torchvision's operator, which does not export; its taps are in rows and columns of a 3 x 3 kernel."""
    torch.manual_seed(0)
    layer = vfnet.StarConvolution()
    feature, distances = torch.randn(2, 256, 6, 8), torch.rand(2, 4, 6, 8) * 3
    weight = layer.mix.weight.reshape(256, 256, 3, 3)
    left, top, right, bottom = distances.unbind(1)
    offsets = []
    for tap, (side, level) in enumerate(vfnet._STAR):
        across = {-1: -left, 0: torch.zeros_like(left), 1: right}[side]
        down = {-1: -top, 0: torch.zeros_like(top), 1: bottom}[level]
        offsets += [down - (tap // 3 - 1), across - (tap % 3 - 1)]
    expected = deform_conv2d(feature, torch.stack(offsets, 1), weight, layer.mix.bias, padding=1).relu()
    assert torch.allclose(layer(feature, vfnet.star_grid(distances)), expected, atol=1e-4)


def test_untrained_boxes_are_the_anchors_and_refinement_multiplies():
    torch.manual_seed(0)
    head = vfnet.Head(2).eval()
    for layer in (head.first, head.refine):
        torch.nn.init.zeros_(layer.weight)
    features = [torch.randn(1, 256, 4, 4) for _ in vfnet.STRIDES]
    for (_, first, refined), stride in zip(head(features), vfnet.STRIDES, strict=True):
        assert torch.equal(first, torch.full_like(first, 4.0 * stride))
        assert torch.equal(first, refined)
    torch.nn.init.constant_(head.first.bias, 0.5)
    torch.nn.init.constant_(head.refine.bias, math.log(2))
    _, first, refined = head(features)[1]
    assert torch.allclose(first, torch.full_like(first, 64 * math.exp(0.5)))
    assert torch.allclose(refined, 2 * first)


def test_boxes_weigh_as_much_as_they_overlap():
    objects = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    boxes = torch.tensor([[0.0, 0, 10, 5], [0, 0, 10, 10]])
    loss = vfnet._weighted_loss(boxes, objects, torch.tensor([0.5, 1.0]))
    assert loss.item() == pytest.approx(0.5 * 0.5 / 1.5, rel=1e-5)
