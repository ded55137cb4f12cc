import pytest

from automl_images.core.errors import SettingsError
from automl_images.core.registry import Registry


def test_a_miss_names_the_nearest_and_all():
    registry: Registry[int] = Registry("format")
    registry.register("coco")(1)
    registry.register("voc")(2)
    assert registry.get("coco") == 1
    with pytest.raises(SettingsError, match=r"Unknown format 'cocoo'. Did you mean 'coco'\? Known: coco, voc"):
        registry.get("cocoo")


def test_a_duplicate_is_refused():
    registry: Registry[int] = Registry("format")
    registry.register("coco")(1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("coco")(2)
