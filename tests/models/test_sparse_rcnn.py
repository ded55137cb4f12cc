"""Sparse R-CNN: matching costs, assignment, losses and the dynamic interaction by hand."""

import math

import pytest
import torch

from automl_images.models import set_matching, sparse_rcnn

NAME = "mmd-3x-sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco"
SIZE = torch.tensor([100.0, 50, 100, 50])


def logit(probability):
    return math.log(probability / (1 - probability))


def focal(probability, positive):
    """The focal loss of one number, alpha 0.25 and gamma 2."""
    if positive:
        return -0.25 * (1 - probability) ** 2 * math.log(probability)
    return -0.75 * probability**2 * math.log(1 - probability)


def test_cost_is_focal_l1_and_giou():
    logits = torch.tensor([[logit(0.8), logit(0.1)]])
    target = {"boxes": torch.tensor([[20.0, 0, 30, 10]]), "labels": torch.tensor([0])}
    cost = set_matching.matching_cost(logits, torch.tensor([[0.0, 0, 10, 10]]), target, SIZE)
    giou = 0 - (300 - 200) / 300
    expected = 2 * (focal(0.8, True) - focal(0.8, False)) + 5 * (0.2 + 0.2) - 2 * giou
    assert cost.shape == (1, 1)
    assert cost.item() == pytest.approx(expected, rel=1e-4)


def test_assignment_is_the_cheapest_as_a_whole_not_the_greedy_one():
    rows, columns = set_matching.match(torch.tensor([[1.0, 2.0], [1.5, 9.0], [8.0, 8.0]]))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_assignment_survives_more_objects_than_predictions_and_none():
    assert len(set_matching.match(torch.rand(2, 5))[0]) == 2
    assert len(set_matching.match(torch.rand(4, 0))[0]) == 0


def test_losses_by_hand():
    """Two predictions, one object that the second one has nearly found."""
    logits = torch.tensor([[[logit(0.3)], [logit(0.6)]]])
    boxes = torch.tensor([[[0.0, 0, 50, 50], [60.0, 10, 90, 40]]])
    targets = [{"boxes": torch.tensor([[60.0, 10, 80, 40]]), "labels": torch.tensor([0])}]
    losses = set_matching.set_losses(logits, boxes, targets, SIZE)
    assert losses["classification"].item() == pytest.approx(2 * (focal(0.3, False) + focal(0.6, True)), rel=1e-4)
    assert losses["box"].item() == pytest.approx(5 * 10 / 100, rel=1e-4)
    assert losses["overlap"].item() == pytest.approx(2 * (1 - 2 / 3), rel=1e-4)


def test_losses_are_by_the_objects_of_the_batch():
    logits, boxes = torch.zeros(2, 4, 1), torch.tensor([0.0, 0, 10, 10]).expand(2, 4, 4)
    full = {"boxes": torch.tensor([[0.0, 0, 20, 10]] * 2), "labels": torch.tensor([0, 0])}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = set_matching.set_losses(logits, boxes, [full, none], SIZE)
    assert losses["box"].item() == pytest.approx(5 * 0.1, rel=1e-4)
    assert losses["classification"].item() == pytest.approx(
        2 * (2 * focal(0.5, True) + 6 * focal(0.5, False)) / 2, rel=1e-4
    )


def test_interaction_filters_each_region_with_its_own_proposals_weights():
    torch.manual_seed(0)
    part = sparse_rcnn.DynamicInteraction().eval()
    features, regions = torch.randn(2, 3, 256), torch.randn(6, 256, 7, 7)
    with torch.no_grad():
        output = part(features, regions)
        weights = part.parameters_of(features[1, 2])
        first, second = weights[: 256 * 64].reshape(256, 64), weights[256 * 64 :].reshape(64, 256)
        region = regions[5].reshape(256, 49).T
        region = part.norms[1](part.norms[0](region @ first).relu() @ second).relu()
        expected = part.last_norm(part.project(region.flatten())).relu()
    assert output.shape == features.shape
    assert torch.allclose(output[1, 2], expected, atol=1e-5)


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    part, stock = sparse_rcnn.Attention(), torch.nn.MultiheadAttention(256, 8, batch_first=True)
    stock.in_proj_weight.data, stock.in_proj_bias.data = part.inside.weight.data, part.inside.bias.data
    stock.out_proj.load_state_dict(part.outside.state_dict())
    features = torch.randn(2, 5, 256)
    assert torch.allclose(part(features), stock(features, features, features)[0], atol=1e-5)


def test_untrained_proposals_are_the_whole_image_and_nothing_is_suppressed(settings, batch):
    model = sparse_rcnn.build_sparse_rcnn(
        ("a", "b"), settings(NAME, box_score_threshold=0.0), backbone="resnet18", proposals=7, stages=1
    )
    with torch.no_grad():
        model.stages[0].deltas.weight.zero_()
        found = model.eval()(batch[0])
    assert [len(image["scores"]) for image in found] == [14] * 3
    assert torch.allclose(found[0]["boxes"], torch.tensor([0.0, 0, 160, 128]).expand(14, 4), atol=1e-3)
