"""What every registered step keeps to, whatever it does: a new step is tested by being registered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl_images.augmentation.build import build
from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.plan import AugmentationPlan
from automl_images.augmentation.sample import Sample, plain
from automl_images.augmentation.steps import STEPS
from automl_images.core.types import Objects
from automl_images.data.drawing import class_colour
from automl_images.data.masks import mask_boxes

SIZE = 96
SIZES = [(1, 1), (1, 200), (200, 1), (3, 5), (40, 400), (400, 40), (64, 64), (97, 131), (300, 251)]

every_step = pytest.mark.parametrize("name", STEPS.names())
without_fixture_check = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def run(name: str, samples: list[Sample], seed: int = 0, index: int = 0) -> Sample:
    plan = AugmentationPlan.from_dict({"training": [{"name": name}]})
    found = build(plan, SIZE)(samples.__getitem__, index, len(samples), generator_for(seed))
    assert found is not None
    return found


def equal(a: Sample, b: Sample) -> bool:
    pairs = [(a.image, b.image), (a.boxes, b.boxes), (a.labels, b.labels), (a.crowd, b.crowd)]
    pairs += [] if a.masks is None or b.masks is None else [(a.masks, b.masks)]
    return all(torch.equal(plain(x), plain(y)) for x, y in pairs)


def check_form(sample: Sample, masks: bool) -> None:
    count, boxes = len(sample), plain(sample.boxes)
    assert sample.image.dtype == torch.uint8
    assert sample.image.shape == (3, sample.height, sample.width)
    assert boxes.dtype == torch.float32
    assert boxes.shape == (count, 4)
    assert sample.boxes.canvas_size == (sample.height, sample.width)
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([sample.width, sample.height] * 2)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert sample.labels.dtype == torch.int64
    assert sample.crowd.dtype == torch.bool
    assert sample.crowd.shape == (count,)
    assert (sample.masks is not None) is masks
    if sample.masks is not None:
        assert sample.masks.dtype == torch.bool
        assert sample.masks.shape == (count, sample.height, sample.width)


def check_objects_agree(sample: Sample, colours: bool) -> None:
    """Box, mask and pixels of every object must show the same thing."""
    image = sample.array()
    objects = sample.to_objects()
    assert objects.masks is not None
    for box, label, mask in zip(objects.boxes, objects.labels, objects.masks, strict=True):
        ys, xs = np.nonzero(mask)
        if min(box[2] - box[0], box[3] - box[1]) < 3:
            continue  # a pixel or two: rounding decides what is left
        extent = np.asarray([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        np.testing.assert_allclose(extent, box, atol=1.6)
        if colours and min(box[2] - box[0], box[3] - box[1]) >= 12:  # enlarged, edges are blurred over some pixels
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            np.testing.assert_allclose(image[y, x].astype(int), class_colour(int(label)), atol=12)


@every_step
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_form_is_kept(name: str, size: tuple[int, int], masks: bool, make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(*size, seed=seed, masks=masks) for seed in range(3)]
    for seed in range(4):
        check_form(run(name, samples, seed), masks)


@every_step
@given(
    sizes=st.lists(st.tuples(st.integers(24, 260), st.integers(24, 260)), min_size=1, max_size=4),
    count=st.integers(0, 5),
    seed=st.integers(0, 10_000),
)
@without_fixture_check
def test_objects_stay_on_their_pixels(
    name: str, sizes: list[tuple[int, int]], count: int, seed: int, make_sample: Callable[..., Sample]
) -> None:
    samples = [make_sample(*size, count=count, seed=seed + i) for i, size in enumerate(sizes)]
    found = run(name, samples, seed)
    check_form(found, masks=True)
    check_objects_agree(found, colours=name != "colour_jitter")


def away_from_edges(mask: np.ndarray) -> np.ndarray:
    """Return where the eight neighbours of a pixel are as it is."""
    around = np.pad(mask, 1, mode="edge")
    height, width = mask.shape
    shifted = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.all([s == mask for s in shifted], axis=0)


@every_step
@given(
    sizes=st.lists(st.tuples(st.integers(24, 260), st.integers(24, 260)), min_size=1, max_size=4),
    count=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
@without_fixture_check
def test_masks_of_any_shape_stay_on_their_pixels(
    name: str, sizes: list[tuple[int, int]], count: int, seed: int, make_shapes: Callable[..., Sample]
) -> None:
    samples = [make_shapes(*size, count=count, seed=seed + i) for i, size in enumerate(sizes)]
    found = run(name, samples, seed)
    objects, white = found.to_objects(), found.array()[:, :, 0] > 127  # what fills a canvas is darker
    assert objects.masks is not None
    np.testing.assert_array_equal(objects.boxes, mask_boxes(objects.masks))
    assert objects.masks.any(axis=(1, 2)).all()
    if name == "colour_jitter":
        return
    for mask, box in zip(objects.masks, objects.boxes.astype(int), strict=True):
        part = slice(box[1], box[3]), slice(box[0], box[2])
        wrong = mask[part] != white[part]
        assert not (wrong & away_from_edges(mask[part]) & away_from_edges(white[part])).any()


@every_step
def test_labels_and_crowd_come_from_the_input(name: str, make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(120, 160, count=4, seed=seed) for seed in range(4)]
    known = {(int(label), bool(crowd)) for s in samples for label, crowd in zip(s.labels, s.crowd, strict=True)}
    for seed in range(10):
        found = run(name, samples, seed)
        assert {(int(label), bool(crowd)) for label, crowd in zip(found.labels, found.crowd, strict=True)} <= known


@every_step
def test_the_same_generator_gives_the_same_sample(name: str, make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(90, 140, seed=seed) for seed in range(5)]
    before = torch.get_rng_state()
    np_before = np.random.get_state()[1].copy()
    for seed in range(5):
        assert equal(run(name, samples, seed), run(name, samples, seed))
    assert torch.equal(torch.get_rng_state(), before), "a step drew from torch's global generator"
    assert np.array_equal(np.random.get_state()[1], np_before), "a step drew from numpy's global generator"


@every_step
def test_the_input_is_not_written_into(name: str, make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(90, 140, seed=seed) for seed in range(3)]
    copies = [make_sample(90, 140, seed=seed) for seed in range(3)]
    for seed in range(5):
        found = run(name, samples, seed)
        found.image.zero_()
        run(name, samples, seed)
    if name not in {"random_crop_containing_boxes", "resize_longest_side"}:  # may hand on (a view of) the image itself
        assert all(equal(a, b) for a, b in zip(samples, copies, strict=True))


@every_step
def test_images_without_objects(name: str, make_sample: Callable[..., Sample]) -> None:
    found = run(name, [make_sample(80, 110, count=0)])
    assert len(found) == 0
    check_form(found, masks=True)


@every_step
def test_read_only_grey_images(name: str) -> None:
    grey = np.broadcast_to(np.arange(120, dtype=np.uint8)[:, None, None], (120, 90, 3))
    box = np.asarray([[20, 30, 60, 90]], np.float32)
    found = run(name, [Sample.from_objects(grey, Objects(box, np.zeros(1, np.int64), np.zeros(1, np.bool_)))])
    check_form(found, masks=False)


@every_step
def test_title_and_documentation(name: str) -> None:
    kind = STEPS.get(name)
    assert kind.title
    assert kind.apply.__doc__
    assert kind.parameters.__doc__
    for field in kind.parameters.model_fields:
        assert any(field in (c.__doc__ or "") for c in kind.parameters.__mro__), f"{field} is not documented"
