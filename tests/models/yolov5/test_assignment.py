import itertools
import math

import pytest
import torch

from automl_images.models.yolov5.assignment import Objects, assign

ANCHORS = torch.tensor([[10.0, 10.0], [40.0, 20.0], [100.0, 100.0]])


def one_object(x, y, width, height, label=0):
    return Objects(torch.tensor([0]), torch.tensor([label]), torch.tensor([[x, y, width, height]], dtype=torch.float32))


def places(matches):
    return set(zip(matches.anchor.tolist(), matches.column.tolist(), matches.row.tolist(), strict=True))


def test_objects_of_a_batch():
    targets = [
        {"boxes": torch.tensor([[0.0, 0.0, 4.0, 8.0]]), "labels": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
        {"boxes": torch.tensor([[2.0, 2.0, 4.0, 4.0], [0.0, 0.0, 2.0, 2.0]]), "labels": torch.tensor([0, 1])},
    ]
    objects = Objects.of(targets)
    assert objects.image.tolist() == [0, 2, 2]
    assert objects.label.tolist() == [2, 0, 1]
    assert objects.box.tolist() == [[2, 4, 4, 8], [3, 3, 2, 2], [1, 1, 2, 2]]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (20, 20, {0, 1}),  # ratios: 2; 2 and 1; 5
        (10, 40, set()),  # exactly 4 is too much; 4 and 2; 10
        (39, 10, {0, 1}),
        (39.9, 39.9, {0, 1, 2}),  # 3.99; 1 and 2; 2.5
        (120, 120, {2}),
        (500, 500, set()),
        (0, 10, set()),
    ],
)
def test_anchors_of_similar_size_match(width, height, expected):
    matches = assign(one_object(20, 20, width, height), ANCHORS, stride=8, height=4, width=4)
    assert set(matches.anchor.tolist()) == expected


@pytest.mark.parametrize(
    ("x", "y", "cells"),
    [
        (18, 18, {(2, 2), (1, 2), (2, 1)}),  # cell (2, 2) begins at 16: the centre is left and above of its middle
        (22, 22, {(2, 2), (3, 2), (2, 3)}),
        (18, 22, {(2, 2), (1, 2), (2, 3)}),
        (20, 18, {(2, 2), (2, 1)}),  # exactly in the middle: no neighbour can reach it
        (20, 20, {(2, 2)}),
        (2, 2, {(0, 0)}),  # neighbours would lie outside
        (38, 30, {(4, 3)}),
        (40, 32, {(4, 3)}),  # on the outermost edge
    ],
)
def test_nearest_cells_by_hand(x, y, cells):
    matches = assign(one_object(x, y, 10, 10), ANCHORS[:1], stride=8, height=4, width=5)
    assert places(matches) == {(0, column, row) for column, row in cells}
    assert len(matches.row) == len(cells)


def test_label_box_and_image_go_with_the_place():
    objects = Objects(
        torch.tensor([0, 3]), torch.tensor([5, 6]), torch.tensor([[12.0, 12.0, 10.0, 10.0], [4.0, 28.0, 90.0, 90.0]])
    )
    matches = assign(objects, ANCHORS, stride=8, height=4, width=4)
    for image, anchor, row, column, label, box in zip(*matches.place, matches.label, matches.box.tolist(), strict=True):
        number = {0: 0, 3: 1}[int(image)]
        assert int(label) == [5, 6][number]
        assert box == objects.box[number].tolist()
        assert abs(box[0] / 8 - float(column) - 0.5) <= 1
        assert abs(box[1] / 8 - float(row) - 0.5) <= 1
        assert int(anchor) in ({0, 1} if number == 0 else {2})
    assert set(matches.image.tolist()) == {0, 3}


def test_random_objects_against_plain_python():
    generator = torch.Generator().manual_seed(0)
    count, height, width, stride = 60, 6, 9, 16
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * stride
    sides = 4 * torch.exp(torch.rand(count, 2, generator=generator) * 4.5)
    objects = Objects(torch.arange(count), torch.zeros(count, dtype=torch.int64), torch.cat([centres, sides], 1))
    matches = assign(objects, ANCHORS, stride, height, width)
    found = sorted(zip(*(part.tolist() for part in matches.place), strict=True))
    assert found == sorted(_reference(objects, stride, height, width))


def _reference(objects, stride, height, width):
    for (number, (x, y, w, h)), (index, (anchor_w, anchor_h)) in itertools.product(
        enumerate(objects.box.tolist()), enumerate(ANCHORS.tolist())
    ):
        if max(w / anchor_w, anchor_w / w, h / anchor_h, anchor_h / h) >= 4:
            continue
        column, row = math.floor(x / stride), math.floor(y / stride)
        yield number, index, row, column
        left, above = x / stride - column < 0.5, y / stride - row < 0.5
        beside, over = column + (-1 if left else 1), row + (-1 if above else 1)
        if 0 <= beside < width:
            yield number, index, row, beside
        if 0 <= over < height:
            yield number, index, over, column


def test_no_objects_no_matches():
    empty = Objects.of([{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}])
    assert len(assign(empty, ANCHORS, 8, 4, 4).row) == 0
