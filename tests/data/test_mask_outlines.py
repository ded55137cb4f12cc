import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from automl_images.core.types import Detections
from automl_images.data.mask_files import distinct_names, export_masks
from automl_images.data.mask_outlines import outlines, polygon_of_mask
from automl_images.data.masks import rasterise


def disc(radius, width=200, height=160, hole=0.0):
    y, x = np.mgrid[:height, :width] + 0.5
    distance = np.hypot(x - width / 2, y - height / 2)
    return (distance < radius) & (distance >= hole)


def again(mask, max_points):
    height, width = mask.shape
    return rasterise(outlines(mask, max_points), width, height)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("smooth", [0, 1, 4])
def test_any_mask_comes_back_exactly_when_all_points_are_kept(seed, smooth):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 90, 2)
    field = gaussian_filter(rng.standard_normal((height, width)), smooth)
    mask = field >= np.quantile(field, rng.random())
    assert (again(mask, 10**6) == mask).all()


@pytest.mark.parametrize("radius", [1, 2, 5, 20, 60, 79])
@pytest.mark.parametrize("hole", [0.0, 0.5])
def test_ordinary_shapes_keep_their_area_with_few_points(radius, hole):
    mask = disc(radius, hole=hole * radius)
    polygon = outlines(mask)
    assert all(len(segment) <= 200 for segment in polygon)
    assert iou(again(mask, 100), mask) > 0.98
    assert iou(again(mask, 12), mask) > 0.8


def test_irregular_shapes_keep_their_area_with_few_points():
    field = gaussian_filter(np.random.default_rng(3).standard_normal((300, 400)), 8)
    mask = field > 0.02
    assert iou(again(mask, 100), mask) > 0.95
    assert max(len(segment) for segment in outlines(mask, 40)) <= 80


def test_coordinates_are_shares_of_the_image_to_its_edges():
    (segment,) = outlines(np.ones((10, 20), bool))
    points = np.array(segment).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [0, 0]
    assert points.max(axis=0).tolist() == [1, 1]
    square = np.zeros((10, 20), bool)
    square[2:6, 4:12] = True
    points = np.array(outlines(square)[0]).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [0.2, 0.2]
    assert points.max(axis=0).tolist() == [0.6, 0.6]


def test_parts_and_holes_are_contours_of_their_own():
    mask = disc(40, hole=20)
    mask[:5, :5] = True
    assert len(outlines(mask)) == 3
    assert outlines(np.zeros((5, 5), bool)) == []
    assert len(outlines(np.eye(1, dtype=bool))[0]) == 8


def test_simplifying_never_loses_a_contour():
    assert all(len(segment) >= 6 for segment in outlines(disc(3), 3))
    assert again(disc(60), 3).any()


def test_annotated_masks_as_polygons():
    segments, changed = polygon_of_mask(disc(70, hole=30))
    assert len(segments) == 2
    assert changed == 0
    _, changed = polygon_of_mask(disc(70), max_points=8)
    assert 0 < changed < 0.1 * disc(70).sum()


def test_huge_masks_are_outlined_on_a_part_of_their_pixels():
    mask = np.zeros((4200, 8400), bool)
    mask[1000:3001, 2000:6001] = True
    segments, changed = polygon_of_mask(mask)
    assert len(segments) == 1
    assert changed / mask.sum() < 0.002


def detections(width=30, height=20):
    masks = np.zeros((2, height, width), bool)
    masks[0, 5:15, 10:20] = True
    masks[1, :3] = True
    boxes = np.array([[10, 5, 20, 15], [0, 0, 30, 3]], np.float32)
    return Detections(boxes, np.array([1, 0]), np.array([0.9871, 0.5], np.float32), masks)


@pytest.mark.parametrize("image_type", ["jpg", "png", "bmp"])
def test_masks_as_pictures(tmp_path, image_type):
    found = detections()
    paths = export_masks(found, ["milk/bottle", ".."], "photo 1", (30, 20), tmp_path, image_type)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"masks/photo 1/_/photo 1_0_label___conf_098.{image_type}",
        f"masks/photo 1/milk_bottle/photo 1_1_label_milk_bottle_conf_05.{image_type}",
    ]
    for path, mask in zip(paths, found.masks, strict=True):
        with Image.open(path) as picture:
            assert picture.format == {"jpg": "JPEG", "png": "PNG", "bmp": "BMP"}[image_type]
            assert ((np.asarray(picture.convert("L")) > 127) == mask).all()
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)


def test_pictures_of_masks_have_the_size_of_the_image_and_safe_names(tmp_path):
    (first, _) = export_masks(detections(), ["a", "ü" * 300], "../" + "x" * 300, (60, 40), tmp_path, "png")
    assert first.resolve().is_relative_to(tmp_path / "masks")
    with Image.open(first) as picture:
        assert picture.size == (60, 40)
        assert set(np.unique(picture)) == {0, 255}
    with pytest.raises(ValueError, match="masks"):
        export_masks(
            Detections(*(getattr(detections(), k) for k in ("boxes", "labels", "scores"))), [], "x", (1, 1), tmp_path
        )


def test_images_of_one_name_keep_their_pictures_apart():
    paths = ["a/cam1/0001.jpg", "a/cam2/0001.jpg", "b/cam2/0001.jpg", "a/other.jpg", "x/a?b.png", "x/a:b.png"]
    names = distinct_names(paths)
    assert names == ["cam1_0001", "cam2_0001", "cam2_0001_2", "other", "x_a_b", "x_a_b_2"]
    assert distinct_names(["IMG.jpg", "img.png", "a/img.jpg"]) == ["_IMG", "_img_2", "a_img"]
    long = distinct_names([f"{'x' * 89}{number}.jpg" for number in range(12)])
    assert len({name.casefold() for name in long}) == 12
    assert max(map(len, long)) == 80
    assert distinct_names([]) == []
