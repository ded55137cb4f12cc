"""What the tests of this room share: no download, tiny settings, a drawn batch."""

import pytest
import torch

from automl_images.core.hyperparameters import resolve
from automl_images.models import weight_files


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch, tmp_path):
    """Neither the network nor the caches of the machine decide what these tests see."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf_cache"))
    weight_files.reachable.cache_clear()
    yield
    weight_files.reachable.cache_clear()


@pytest.fixture
def settings():
    """Resolved hyper-parameters of a model, some replaced."""

    def settings_of(name, **given):
        return resolve("object_detection", name, given)

    return settings_of


@pytest.fixture
def batch():
    """Two images of bright rectangles on noise with their boxes; the third image is empty and smaller."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 128, 160, generator=generator) * 0.4 - 1
    boxes = [
        torch.tensor([[16.0, 20, 70, 90], [90, 40, 150, 110]]),
        torch.tensor([[40.0, 30, 120, 80]]),
        torch.zeros(0, 4),
    ]
    labels = [torch.tensor([0, 2]), torch.tensor([1]), torch.zeros(0, dtype=torch.int64)]
    for image, image_boxes, image_labels in zip(images, boxes, labels, strict=True):
        for (x1, y1, x2, y2), label in zip(image_boxes.int().tolist(), image_labels.tolist(), strict=True):
            image[label, y1:y2, x1:x2] += 1.5
    targets = [{"boxes": b, "labels": n} for b, n in zip(boxes, labels, strict=True)]
    return images, targets, torch.tensor([[128, 160], [128, 150], [100, 120]])
