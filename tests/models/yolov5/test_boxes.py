import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from automl_images.models.yolov5.boxes import ciou, decode_boxes, giou, to_centres, to_corners

SIDE = st.floats(1, 200, width=32)
PLACE = st.floats(-200, 200, width=32)
BOX = st.tuples(PLACE, PLACE, SIDE, SIDE).map(lambda v: [v[0], v[1], v[0] + v[2], v[1] + v[3]])


def test_decoding_by_hand():
    raw = torch.tensor([[0.0, 0.0, 0.0, 0.0], [math.log(3), -math.log(3), math.log(3), -math.log(3)]])
    cells = torch.tensor([[2, 1], [0, 5]])
    anchors = torch.tensor([[10.0, 13.0], [16.0, 30.0]])
    boxes = decode_boxes(raw, cells, anchors, stride=8)
    # sigmoid(0) = 1/2: the middle of the cell, the anchor's size; sigmoid(+-log 3) = 3/4 and 1/4
    assert boxes.tolist() == [
        pytest.approx([(2 + 0.5) * 8, (1 + 0.5) * 8, 10, 13]),
        pytest.approx([(0 + 1.0) * 8, (5 + 0.0) * 8, 1.5**2 * 16, 0.5**2 * 30], rel=1e-5),
    ]


def test_decoded_centres_reach_half_a_cell_beyond_and_sides_four_times_the_anchor():
    raw = torch.tensor([[50.0, -50.0, 50.0, -50.0]])
    box = decode_boxes(raw, torch.tensor([[3, 3]]), torch.tensor([[10.0, 10.0]]), stride=16)
    assert box[0].tolist() == pytest.approx([4.5 * 16, 2.5 * 16, 40, 0])


def test_corners_and_centres_are_inverse():
    boxes = torch.tensor([[1.0, 2.0, 5.0, 10.0]])
    assert to_centres(boxes).tolist() == [[3, 6, 4, 8]]
    assert to_corners(to_centres(boxes)).tolist() == boxes.tolist()


def test_giou_by_hand():
    first, second = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 3.0, 3.0])
    # intersection 1, union 7, hull 9
    assert giou(first, second).item() == pytest.approx(1 / 7 - 2 / 9, abs=1e-6)
    far = torch.tensor([4.0, 0.0, 6.0, 2.0])
    # no intersection, union 8, hull 12
    assert giou(first, far).item() == pytest.approx(-4 / 12, abs=1e-6)


def test_ciou_by_hand():
    first, second = torch.tensor([0.0, 0.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 3.0, 3.0])
    iou = 2 / (8 + 4 - 2)
    distance = 1**2 / (3**2 + 4**2)
    aspect = 4 / math.pi**2 * (math.atan(1) - math.atan(0.5)) ** 2
    expected = iou - distance - aspect * aspect / (1 - iou + aspect)
    assert ciou(first, second).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("agreement", [giou, ciou])
def test_equal_boxes_agree_fully(agreement):
    box = torch.tensor([[3.0, 4.0, 50.0, 9.0]])
    assert agreement(box, box).item() == pytest.approx(1, abs=1e-5)


@given(first=BOX, second=BOX)
def test_agreement_is_that_of_torchvision(first, second):
    first, second = torch.tensor([first]), torch.tensor([second])
    assert giou(first, second).item() == pytest.approx(1 - generalized_box_iou_loss(first, second).item(), abs=1e-4)
    assert ciou(first, second).item() == pytest.approx(1 - complete_box_iou_loss(first, second).item(), abs=1e-4)


@pytest.mark.parametrize("agreement", [giou, ciou])
def test_gradient_leads_to_the_other_box_without_overlap(agreement):
    wanted = torch.tensor([[100.0, 100.0, 140.0, 120.0]])
    box = torch.tensor([[0.0, 0.0, 20.0, 30.0]], requires_grad=True)
    optimizer = torch.optim.Adam([box], lr=2.0)
    for _ in range(400):
        optimizer.zero_grad()
        (1 - agreement(box, wanted)).sum().backward()
        optimizer.step()
    assert agreement(box, wanted).item() > 0.9


@pytest.mark.parametrize("agreement", [giou, ciou])
def test_gradients_are_finite_where_boxes_vanish_or_coincide(agreement):
    boxes = torch.tensor([[5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 4.0, 4.0], [1e-6, 0.0, 2e-6, 9.0]], requires_grad=True)
    others = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(3, 4)
    agreement(boxes, others).sum().backward()
    assert boxes.grad.isfinite().all()
