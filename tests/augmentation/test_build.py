"""Carrying out a plan: probabilities, order, unreadable images, independence of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch

from automl_images.augmentation.build import build
from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.plan import AugmentationPlan, Style, augmentation_plan
from automl_images.augmentation.sample import Sample, plain

MakeSample = Callable[..., Sample]


def test_at_most_one_of_crop_and_expand_happens_with_its_probability(make_sample: MakeSample) -> None:
    sample = make_sample(90, 100, count=1, seed=1, masks=False)  # a rectangle around its box is always found
    plan = augmentation_plan("crop_expand_flip")
    augmentation = build(plan)
    areas = []
    for index in range(1500):
        found = augmentation(lambda _: sample, 0, 1, generator_for(0, index))
        assert found is not None
        areas.append(found.height * found.width)
    expanded = sum(area > 9000 for area in areas) / 1500
    cropped = sum(area < 9000 for area in areas) / 1500
    assert expanded == pytest.approx(0.25, abs=0.04)
    assert cropped == pytest.approx(0.25, abs=0.04)


def test_steps_happen_in_the_order_of_the_plan(make_sample: MakeSample) -> None:
    sizes = [{"name": "resize_longest_side", "parameters": {"size": size}} for size in (50, 20)]
    for steps, expected in ((sizes, 20), (sizes[::-1], 50)):
        augmentation = build(AugmentationPlan.from_dict({"training": steps}))
        found = augmentation(lambda _: make_sample(80, 100), 0, 1, generator_for(0))
        assert found is not None
        assert found.width == expected


def test_an_empty_plan_changes_nothing(make_sample: MakeSample) -> None:
    sample = make_sample(80, 100)
    assert build(AugmentationPlan())(lambda _: sample, 0, 1, generator_for(0)) is sample


@pytest.mark.parametrize("style", get_args(Style))
def test_an_unreadable_image_gives_no_sample(style: Style, make_sample: MakeSample) -> None:
    samples = [None, make_sample(80, 100)]
    assert build(augmentation_plan(style), 64)(samples.__getitem__, 0, 2, generator_for(0)) is None


def test_an_unreadable_image_among_the_four_drops_the_mosaic(make_sample: MakeSample) -> None:
    samples = [make_sample(80, 100), None]
    augmentation = build(augmentation_plan("mosaic"), 64)
    results = [augmentation(samples.__getitem__, 0, 2, generator_for(seed)) for seed in range(80)]
    assert sum(r is None for r in results) / 80 == pytest.approx(7 / 8, abs=0.12)  # three draws, each fine by 1/2


def test_mosaic_draws_from_all_samples(make_sample: MakeSample) -> None:
    asked: set[int] = set()

    def load(index: int) -> Sample:
        asked.add(index)
        return make_sample(20, 20, seed=index)

    augmentation = build(augmentation_plan("mosaic"), 32)
    for seed in range(40):
        augmentation(load, 0, 12, generator_for(seed))
    assert asked == set(range(12))


@pytest.mark.parametrize("style", get_args(Style))
def test_order_and_number_of_calls_do_not_matter(style: Style, make_sample: MakeSample) -> None:
    samples = [make_sample(70, 90 + i, seed=i) for i in range(6)]
    augmentation = build(augmentation_plan(style), 64)

    def run(index: int) -> torch.Tensor:
        found = augmentation(samples.__getitem__, index, 6, generator_for(3, index))
        assert found is not None
        return plain(found.image).clone()

    forwards = [run(i) for i in range(6)]
    backwards = [run(i) for i in reversed(range(6))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    other = [augmentation(samples.__getitem__, i, 6, generator_for(4, i)) for i in range(6)]
    assert any(o is not None and not torch.equal(plain(o.image), f) for o, f in zip(other, forwards, strict=True))


def test_neighbouring_seeds_are_unrelated() -> None:
    first = torch.stack([torch.rand(50, generator=generator_for(0, i)) for i in range(50)])
    assert abs(float(torch.corrcoef(first).triu(1).mean())) < 0.02
    assert len({round(float(v), 6) for v in first[:, 0]}) == 50
