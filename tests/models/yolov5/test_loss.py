import math

import pytest
import torch
from torch.nn import functional

from automl_images.models.yolov5.boxes import ciou, giou
from automl_images.models.yolov5.loss import YOLOv5Loss

SIZES = (8, 4, 2)
"""Cells a side for an image of 64 x 64 pixels."""


def blank(classes, batch=1, objectness=0.0):
    maps = [torch.zeros(batch, 3, side, side, 5 + classes) for side in SIZES]
    for raw in maps:
        raw[..., 4] = objectness
    return maps


def nothing(batch=1):
    return [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)} for _ in range(batch)]


def test_without_objects_only_objectness_is_left():
    losses = YOLOv5Loss(num_classes=2, batch_size=16)(blank(2), nothing())
    assert losses["box"] == 0
    assert losses["class"] == 0
    assert losses["objectness"].item() == pytest.approx(3 * math.log(2) * 16, rel=1e-6)


def test_gradients_without_objects_are_finite():
    maps = [raw.requires_grad_() for raw in blank(3, batch=2)]
    sum(YOLOv5Loss(3, 4)(maps, nothing(2)).values()).backward()
    assert all(raw.grad.isfinite().all() for raw in maps)
    assert all((raw.grad[..., :4] == 0).all() and (raw.grad[..., 4] > 0).all() for raw in maps)


@pytest.mark.parametrize("agreement", ["ciou", "giou"])
def test_one_small_object_by_hand(agreement):
    """A 12 x 6 box at (18, 20) in an image of 64 x 64: worked out with plain numbers.

    It fits two anchors of stride 8: (10, 13) by ratios 1.2 and 2.2, (33, 23) by 2.75 and 3.8; of the others (16, 30)
    comes nearest, but is 5 times as high. Its centre is in column 2, row 2 (both from 16 on), left of the middle (20)
    and exactly on it vertically: places (2, 2) and (1, 2). Zero logits predict an anchor in the middle of the cell.
    """
    target = [{"boxes": torch.tensor([[12.0, 17.0, 24.0, 23.0]]), "labels": torch.tensor([1])}]
    losses = YOLOv5Loss(2, 16, {"ciou": ciou, "giou": giou}[agreement])(blank(2), target)
    measure = {"ciou": _ciou, "giou": _giou}[agreement]
    values = [
        measure(_corners((column + 0.5) * 8, 2.5 * 8, w, h), (12, 17, 24, 23))
        for w, h in [(10, 13), (33, 23)]
        for column in (2, 1)
    ]
    assert losses["box"].item() == pytest.approx(0.05 * 16 * sum(1 - v for v in values) / 4, rel=1e-5)
    # a logit of 0 costs log 2 whatever is wanted of it
    assert losses["objectness"].item() == pytest.approx(16 * 3 * math.log(2), rel=1e-5)
    assert losses["class"].item() == pytest.approx(16 * 0.58 * 2 / 80 * math.log(2), rel=1e-5)


def _corners(x, y, width, height):
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _areas(a, b):
    overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    return overlap, union, hull


def _giou(a, b):
    overlap, union, hull = _areas(a, b)
    return overlap / union - (hull[0] * hull[1] - union) / (hull[0] * hull[1])


def _ciou(a, b):
    overlap, union, hull = _areas(a, b)
    between = (a[0] + a[2] - b[0] - b[2]) ** 2 / 4 + (a[1] + a[3] - b[1] - b[3]) ** 2 / 4
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    aspect = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    return overlap / union - between / (hull[0] ** 2 + hull[1] ** 2) - aspect**2 / (1 - overlap / union + aspect)


def test_objectness_wants_the_overlap_at_the_places_of_an_object():
    """A box that is an anchor, in the middle of a cell: wanted 1 there, the overlaps with the two others there, else 0."""
    maps = blank(1, objectness=2.0)
    target = [{"boxes": torch.tensor([[20 - 5.0, 20 - 6.5, 20 + 5.0, 20 + 6.5]]), "labels": torch.tensor([0])}]
    losses = YOLOv5Loss(1, 1)(maps, target)
    own = (15, 13.5, 25, 26.5)
    wanted = [1.0, _ciou(_corners(20, 20, 16, 30), own), _ciou(_corners(20, 20, 33, 23), own)]

    def bce(goal):
        return -goal * math.log(1 / (1 + math.exp(-2))) - (1 - goal) * math.log(1 - 1 / (1 + math.exp(-2)))

    empty = 3 * 64 - 3
    fine = (empty * bce(0) + sum(bce(max(0, goal)) for goal in wanted)) / (3 * 64)
    assert losses["objectness"].item() == pytest.approx(fine + 2 * bce(0), rel=1e-5)
    assert losses["class"] == 0


def test_a_place_that_two_objects_claim_follows_the_better_in_any_order():
    boxes = torch.tensor([[15.0, 13.5, 25.0, 26.5], [8.0, 8.0, 32.0, 32.0]])
    labels = torch.tensor([0, 0])
    maps = blank(1, objectness=1.0)
    losses = YOLOv5Loss(1, 1)
    there = losses(maps, [{"boxes": boxes, "labels": labels}])["objectness"]
    back = losses(maps, [{"boxes": boxes.flip(0), "labels": labels}])["objectness"]
    assert there == back
    alone = losses(maps, [{"boxes": boxes[:1], "labels": labels[:1]}])["objectness"]
    assert there < alone  # positive logits: the second object's overlaps elsewhere can only lower the loss


def test_class_loss_is_the_cross_entropy_at_the_matched_places():
    maps = blank(3)
    maps[0][0, :, 2, 2, 5:] = torch.tensor([1.0, -2.0, 0.5])
    target = [{"boxes": torch.tensor([[15.0, 13.5, 25.0, 26.5]]), "labels": torch.tensor([2])}]
    expected = functional.softplus(torch.tensor([1.0, -2.0, -0.5])).sum().item() / 3 * 0.58 * 3 / 80 * 16
    assert YOLOv5Loss(3, 16)(maps, target)["class"].item() == pytest.approx(expected, rel=1e-5)


def test_half_precision_maps_give_float32_losses():
    target = [{"boxes": torch.tensor([[15.0, 13.5, 25.0, 26.5]]), "labels": torch.tensor([2])}]
    losses = YOLOv5Loss(3, 16)([raw.bfloat16() for raw in blank(3)], target)
    assert {value.dtype for value in losses.values()} == {torch.float32}
