"""The batched box arithmetic against torchvision's, one image at a time."""

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

from automl_images.models import batched


def boxes_of(*shape, extent=300.0, generator=None):
    corner = torch.rand(*shape, 2, generator=generator) * extent
    return torch.cat([corner, corner + 5 + torch.rand(*shape, 2, generator=generator) * 60], dim=-1)


@pytest.mark.parametrize("size", [(64, 96), (224, 160), (100, 132)])
def test_anchors_are_those_of_torchvision(size):
    generator = AnchorGenerator(((32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 3)
    images = torch.zeros(2, 3, *size)
    features = [torch.zeros(2, 8, -(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32)]
    expected = generator(ImageList(images, [size] * 2), features)[0]
    cells = generator.cell_anchors
    actual = torch.cat([batched.grid_anchors(c, f, images) for c, f in zip(cells, features, strict=True)])
    assert torch.equal(expected, actual)


def test_decoding_undoes_encoding():
    generator = torch.Generator().manual_seed(0)
    weights = (10.0, 10.0, 5.0, 5.0)
    references, objects = boxes_of(2, 7, generator=generator), boxes_of(2, 7, generator=generator)
    deltas = BoxCoder(weights).encode_single(objects.reshape(-1, 4), references.reshape(-1, 4)).reshape(2, 7, 4)
    assert torch.allclose(batched.decode(deltas, references, weights), objects, atol=1e-3)


def test_decoding_bounds_the_growth_of_a_box():
    box = batched.decode(torch.tensor([0.0, 0, 99, 99]), torch.tensor([0.0, 0, 16, 16]), (1.0,) * 4)
    assert torch.allclose(box[2:] - box[:2], torch.tensor([1000.0, 1000.0]), rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 5, 90])
def test_suppression_is_that_of_each_image_and_group_alone(groups):
    generator = torch.Generator().manual_seed(groups)
    boxes = boxes_of(16, 120, extent=1200.0 if groups > 5 else 120.0, generator=generator)
    labels = torch.randint(0, groups, (16, 120), generator=generator)
    scores = torch.rand(16, 120, generator=generator)
    scores[3, 40:] = batched.INVALID
    kept = batched.suppress(boxes, scores, labels, 0.5)
    for image in range(16):
        valid = scores[image] > batched.INVALID
        expected = batched_nms(boxes[image][valid], scores[image][valid], labels[image][valid], 0.5)
        survivors = torch.where(kept[image] > batched.INVALID)[0]
        assert sorted(valid.nonzero()[:, 0][expected].tolist()) == survivors.tolist()
        assert torch.equal(kept[image][survivors], scores[image][survivors])


def test_suppression_keeps_its_precision_with_many_groups_and_images():
    """Two boxes that overlap by 0.499 and two by 0.501, in the last group of the last image of a large batch."""
    boxes = torch.zeros(32, 3, 4)
    boxes[..., 2:] = 1333.0
    width = 10.0
    for overlap in (0.499, 0.501):
        shift = width * (1 - overlap) / (1 + overlap)
        boxes[31, :2] = torch.tensor([[1300.0, 1300, 1310, 1310], [1300 + shift, 1300, 1310 + shift, 1310]])
        scores = torch.tensor([0.9, 0.8, 0.1]).expand(32, 3).contiguous()
        kept = batched.suppress(boxes, scores, torch.full((32, 3), 89), 0.5)
        assert (kept[31, 1] > 0).item() is (overlap < 0.5)


def test_best_pads_short_rows_with_invalid():
    scores, index = batched.best(torch.tensor([[0.2, 0.9, batched.INVALID]]), 5)
    assert scores.tolist() == [pytest.approx([0.9, 0.2, -1, -1, -1])]
    assert index[0, :2].tolist() == [1, 0]
    assert index.max() < 3


def test_clip_uses_the_canvas():
    clipped = batched.clip(torch.tensor([[-5.0, 2, 70, 99]]), torch.zeros(1, 3, 32, 64))
    assert clipped.tolist() == [[0, 2, 64, 32]]
