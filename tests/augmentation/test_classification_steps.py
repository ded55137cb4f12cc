"""The steps of classification, against torchvision's transforms of the same name as the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.sample import Interpolation, Sample, plain
from automl_images.augmentation.steps.colour import ColourParameters, colour_jitter
from automl_images.augmentation.steps.resized_crop import ResizedCropParameters, random_resized_crop
from automl_images.core.types import ImageArray, Objects

DRAWS = 500


def no_other() -> Sample | None:
    raise AssertionError("this step needs no other sample")


def sample_of(image: ImageArray) -> Sample:
    return Sample.from_objects(image, Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_)))


def ramps(height: int, width: int) -> ImageArray:
    """Return an image whose red is x and whose green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


def part_of(array: ImageArray) -> tuple[float, float, float, float]:
    """Return centre x and y, width and height of the part of `ramps` that a square shows."""
    size, pixels = len(array), array.astype(np.float64)
    low, high = size // 4, size - size // 4
    wide = (pixels[:, high - 1, 0] - pixels[:, low, 0]).mean() / (high - 1 - low) * size
    tall = (pixels[high - 1, :, 1] - pixels[low, :, 1]).mean() / (high - 1 - low) * size
    return pixels[:, :, 0].mean(), pixels[:, :, 1].mean(), wide, tall


@pytest.mark.parametrize(("height", "width"), [(150, 200), (240, 120)])
def test_random_resized_crop_draws_as_torchvision_does(height: int, width: int) -> None:
    image = ramps(height, width)
    parameters = ResizedCropParameters(size=32)
    ours = np.asarray(
        [
            part_of(random_resized_crop(sample_of(image), parameters, generator_for(seed), no_other).array())
            for seed in range(DRAWS)
        ]
    )
    torch.manual_seed(0)
    reference = v2.RandomResizedCrop(32)
    picture = Image.fromarray(image)
    theirs = np.asarray([part_of(np.asarray(reference(picture))) for _ in range(DRAWS)])
    for mine, other in (
        (ours[:, 0], theirs[:, 0]),
        (ours[:, 1], theirs[:, 1]),
        (ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
        (ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]),
    ):
        assert ks_2samp(mine, other).pvalue > 0.001
    shares = ours[:, 2] * ours[:, 3] / (height * width)
    assert shares.min() == pytest.approx(0.08, abs=0.03)
    assert shares.max() == pytest.approx((theirs[:, 2] * theirs[:, 3] / (height * width)).max(), abs=0.08)


@pytest.mark.parametrize(
    ("height", "width", "part"),
    [
        (6, 250, (122, 0, 8, 6)),  # x, y, width, height: 4/3 of the height
        (250, 6, (0, 121, 6, 8)),
    ],
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_middle_is_taken_where_no_part_fits(
    height: int, width: int, part: tuple[int, int, int, int], interpolation: Interpolation
) -> None:
    image = ramps(height, width)
    parameters = ResizedCropParameters(size=24, minimum_scale=0.5, interpolation=interpolation)
    found = random_resized_crop(sample_of(image), parameters, generator_for(0), no_other)
    x, y, wide, tall = part
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    expected = Image.fromarray(image[y : y + tall, x : x + wide]).resize((24, 24), resample)
    assert np.abs(found.array().astype(int) - np.asarray(expected).astype(int)).max() <= 1


def test_the_whole_image_where_its_shape_is_allowed() -> None:
    image = ramps(90, 100)
    parameters = ResizedCropParameters(size=45, minimum_scale=1, minimum_ratio=0.5, maximum_ratio=0.5)
    found = random_resized_crop(sample_of(image), parameters, generator_for(0), no_other)
    assert part_of(found.array())[2:] == pytest.approx((45, 90), rel=0.02), "as wide as the one shape allows"
    parameters = ResizedCropParameters(size=45, minimum_scale=1, minimum_ratio=1.1, maximum_ratio=1.12)
    found = random_resized_crop(sample_of(image), parameters, generator_for(3), no_other)
    assert part_of(found.array())[2:] == pytest.approx((100, 90), rel=0.03)


def test_objects_follow_the_part(make_shapes: Callable[..., Sample]) -> None:
    sample = make_shapes(120, 160, count=2, seed=1)
    parameters = ResizedCropParameters(size=64)
    counts = set()
    for seed in range(30):
        found = random_resized_crop(sample, parameters, generator_for(seed), no_other)
        assert (found.height, found.width) == (64, 64)
        assert found.masks is not None
        white = plain(found.image)[0] > 127
        seen = plain(found.masks).any(dim=0)
        assert (white != seen).float().mean() < 0.06
        counts.add(len(found))
    assert counts >= {1, 2}


@pytest.mark.parametrize(("name", "low", "high"), [("minimum_scale", 0.9, 0.5), ("minimum_ratio", 2.0, 1.0)])
def test_ranges_must_be_ordered(name: str, low: float, high: float) -> None:
    values = {name: low, name.replace("minimum", "maximum"): high}
    with pytest.raises(ValueError, match=f"{name} {low} is above"):
        ResizedCropParameters(size=8, **values)  # type: ignore[arg-type]


def colourful() -> ImageArray:
    return np.random.default_rng(0).integers(40, 200, (12, 12, 3), dtype=np.uint8)


def test_colour_jitter_draws_as_torchvision_does() -> None:
    image = np.repeat(colourful()[:1, :1], 2, axis=0) // 2 + np.asarray([[[60, 30, 0]], [[0, 20, 70]]], np.uint8)
    found = [colour_jitter(sample_of(image), ColourParameters(), generator_for(i), no_other) for i in range(DRAWS)]
    torch.manual_seed(0)
    reference = v2.ColorJitter(0.4, 0.4, 0.4, 0.4)
    picture = Image.fromarray(image)
    ours = np.stack([f.array() for f in found]).reshape(DRAWS, -1).astype(int)
    theirs = np.stack([np.asarray(reference(picture)) for _ in range(DRAWS)]).reshape(DRAWS, -1).astype(int)
    for mine, other in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, other).pvalue > 0.001


def test_colour_jitter_changes_pixels_and_nothing_else(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(50, 60)
    found = colour_jitter(sample, ColourParameters(), generator_for(1), no_other)
    assert not torch.equal(plain(found.image), plain(sample.image))
    assert found.boxes is sample.boxes
    assert found.masks is sample.masks
    still = ColourParameters(brightness=0, contrast=0, saturation=0, hue=0)
    assert np.array_equal(colour_jitter(sample, still, generator_for(1), no_other).array(), sample.array())


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_each_strength_changes_its_property_alone(name: str) -> None:
    alone = {other: 0.4 * (other == name) for other in ("brightness", "contrast", "saturation", "hue")}
    found = colour_jitter(sample_of(colourful()), ColourParameters(**alone), generator_for(1), no_other)
    before = np.asarray(Image.fromarray(colourful()).convert("HSV"), np.float64)
    after = np.asarray(Image.fromarray(found.array()).convert("HSV"), np.float64)
    assert not np.array_equal(before, after)
    if name == "hue":
        np.testing.assert_allclose(after[..., 1:], before[..., 1:], atol=4)
        turned = (after[..., 0] - before[..., 0]) % 256
        assert np.ptp(turned[before[..., 1] > 60]) <= 6
    else:
        shift = np.abs((after[..., 0] - before[..., 0] + 128) % 256 - 128)
        assert np.median(shift[before[..., 1] > 60]) <= 3
