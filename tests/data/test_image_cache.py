"""Decoded images on disk: right, bounded, never trusted."""

import numpy as np
import pytest
from PIL import Image

from automl_images.data.image_cache import VARIABLE, ImageCache
from automl_images.data.images import ImageError, read_image


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(path)
    return str(path)


def test_what_one_process_decoded_another_finds(tmp_path, picture, monkeypatch):
    cache = ImageCache(tmp_path / "cache", 10**6)
    assert np.array_equal(cache.read(picture), read_image(picture))
    for name, value in cache.as_environment().items():
        monkeypatch.setenv(name, value)
    other = ImageCache.from_environment()
    monkeypatch.setattr("automl_images.data.image_cache.read_image", lambda path: pytest.fail("decoded again"))
    found = other.read(picture)
    assert found.shape == (40, 30, 3)
    assert found.flags.writeable


def test_a_changed_file_and_a_torn_entry_are_decoded_anew(tmp_path, picture):
    cache = ImageCache(tmp_path / "cache", 10**6)
    cache.read(picture)
    [entry] = cache.folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    assert np.array_equal(cache.read(picture), read_image(picture))
    Image.new("RGB", (5, 5), "red").save(picture)
    assert cache.read(picture).shape == (5, 5, 3)


def test_the_budget_holds_and_strangers_are_removed(tmp_path, picture):
    cache = ImageCache(tmp_path / "cache", 4000)
    second = str(tmp_path / "b.png")
    Image.new("RGB", (30, 40)).save(second)
    cache.read(picture)
    cache.read(second)
    assert len(list(cache.folder.iterdir())) == 1
    cache.keep_only([second])
    assert not list(cache.folder.iterdir())
    cache.read(second)
    assert len(list(cache.folder.iterdir())) == 1


def test_errors_are_those_of_reading_and_no_variable_is_no_cache(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no image file"):
        ImageCache(tmp_path / "cache", 10).read(str(tmp_path / "none.png"))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert ImageCache.from_environment() is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path, picture):
    (tmp_path / "file").touch()
    cache = ImageCache(tmp_path / "file" / "cache", 10**6)
    assert cache.read(picture).shape == (40, 30, 3)
