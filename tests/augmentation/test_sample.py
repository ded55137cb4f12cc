"""Image, boxes and masks on the move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from automl_images.augmentation.canvas import GREY, compose
from automl_images.augmentation.sample import Sample, plain
from automl_images.core.types import Objects


def two_objects(masks: bool = True) -> Sample:
    """Return a 40 x 60 image with a corner (L) in x 10..40, y 5..35 and a square in x 45..55, y 20..30."""
    drawn = np.zeros((2, 40, 60), np.bool_)
    drawn[0, 5:35, 10:20] = True
    drawn[0, 25:35, 10:40] = True
    drawn[1, 20:30, 45:55] = True
    boxes = np.asarray([[10.3, 5.2, 39.8, 35], [45, 20, 55, 30]], np.float32)
    image = np.repeat(drawn.any(axis=0)[:, :, None], 3, axis=2).astype(np.uint8) * 255
    return Sample.from_objects(
        image, Objects(boxes, np.asarray([3, 4]), np.zeros(2, np.bool_), drawn if masks else None)
    )


def test_the_box_of_a_cut_object_is_that_of_its_mask() -> None:
    found = two_objects().move(F.crop, 0, 0, 22, 60)  # the corner's foot is cut off: only its upright is left
    assert found.labels.tolist() == [3, 4]
    assert found.boxes.tolist() == [[10, 5, 20, 22], [45, 20, 55, 22]]
    without = two_objects(masks=False).move(F.crop, 0, 0, 22, 60)
    np.testing.assert_allclose(plain(without.boxes)[0].numpy(), [10.3, 5.2, 39.8, 22], rtol=1e-6)


def test_an_object_whose_mask_is_empty_is_dropped_though_its_box_is_not() -> None:
    part = (0, 22, 20, 38)  # top, left, height, width: inside the corner's box, beside its mask
    assert two_objects().move(F.crop, *part).labels.tolist() == []
    assert two_objects(masks=False).move(F.crop, *part).labels.tolist() == [3]


def test_compose_cuts_masks_and_boxes_alike() -> None:
    found = compose([(two_objects(), -30, -5), (two_objects(), 10, 20)], 50, 70, GREY)
    assert found.labels.tolist() == [3, 3, 4]  # of the first only the corner's foot
    assert found.boxes.tolist() == [[5, 0, 35, 5], [30, 15, 60, 45], [65, 30, 70, 40]]
    assert found.masks is not None
    assert plain(found.masks).sum(dim=(1, 2)).tolist() == [150, 500, 50]
    mixed = compose([(two_objects(), 0, 0), (two_objects(masks=False), 0, 60)], 40, 120, GREY)
    assert mixed.masks is None


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_masks_keep_their_centre_when_resized(factor: int) -> None:
    y, x = np.mgrid[:400, :600] + 0.5
    drawn = (np.hypot(x - 310, y - 190) < 120)[None]
    sample = Sample.from_objects(
        np.zeros((400, 600, 3), np.uint8),
        Objects(np.asarray([[190, 70, 430, 310]], np.float32), np.zeros(1, np.int64), np.zeros(1, np.bool_), drawn),
    )
    found = sample.resized(400 // factor, 600 // factor)
    assert found.masks is not None
    rows, columns = np.nonzero(plain(found.masks)[0].numpy())
    assert (columns.mean() + 0.5) * factor == pytest.approx(310, abs=1)
    assert (rows.mean() + 0.5) * factor == pytest.approx(190, abs=1)
    assert len(rows) * factor**2 == pytest.approx(drawn.sum(), rel=0.03)


def test_resizing_without_masks_scales_boxes() -> None:
    found = two_objects(masks=False).resized(80, 30)
    np.testing.assert_allclose(plain(found.boxes).numpy(), [[5.15, 10.4, 19.9, 70], [22.5, 40, 27.5, 60]], rtol=1e-5)


def test_the_same_size_changes_nothing() -> None:
    sample = two_objects()
    assert sample.resized(40, 60) is sample


def test_interpolation() -> None:
    sample = two_objects()
    images = [plain(sample.resized(97, 131, kind).image) for kind in ("bilinear", "bicubic")]  # type: ignore[arg-type]
    assert not torch.equal(*images)


def test_an_object_whose_corners_are_one_in_float32_is_left_out() -> None:
    boxes = np.asarray([[32, 224.0, 288, 224.0000032], [45, 20, 55, 30]], np.float64)
    objects = Objects(boxes, np.asarray([3, 4]), np.zeros(2, np.bool_))
    found = Sample.from_objects(np.zeros((320, 320, 3), np.uint8), objects)
    assert found.labels.tolist() == [4]
    assert found.boxes.tolist() == [[45, 20, 55, 30]]
