"""A real learner in miniature: a convolution with norm and dropout tells in which half of a picture the light is."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from automl_images.core.hyperparameters import resolve
from automl_images.training.settings import TrainingSettings

DEFAULTS = {
    "number_of_epochs": 3,
    "training_batch_size": 4,
    "validation_batch_size": 4,
    "number_of_workers": 0,
    "learning_rate": 0.05,
    "ema": True,
    "early_stopping": False,
}


def settings(**given):
    return TrainingSettings.from_hyperparameters(
        resolve("object_detection", "fasterrcnn_resnet18_fpn", DEFAULTS | given)
    )


@dataclasses.dataclass
class TinyBatch:
    images: torch.Tensor
    labels: torch.Tensor
    image_ids: list[str]

    def to(self, device, **options):
        return TinyBatch(self.images.to(device, **options), self.labels.to(device, **options), self.image_ids)

    def pin_memory(self):
        return TinyBatch(self.images.pin_memory(), self.labels.pin_memory(), self.image_ids)

    def split(self, parts):
        size = -(-len(self) // parts)
        cuts = [slice(i, i + size) for i in range(0, len(self), size)]
        return [TinyBatch(self.images[c], self.labels[c], self.image_ids[c]) for c in cuts]

    def __len__(self):
        return len(self.labels)


class TinyImages:
    def __init__(self, count, seed, unreadable=()):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 2
        self.images = torch.randn(count, 1, 8, 8, generator=generator)
        for image, label in zip(self.images, self.labels, strict=True):
            image[:, :, 4 * int(label) : 4 * int(label) + 4] += 0.5
        self.image_ids = [f"image-{i}" for i in range(count)]
        self.shape_groups = ()
        self.unreadable = set(unreadable)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (None, key)
        if index in self.unreadable:
            return None
        image = self.images[index]
        if epoch is not None:
            noise = torch.Generator().manual_seed(1000 * epoch + index)
            image = image + 0.1 * torch.randn(image.shape, generator=noise)
        return image, self.labels[index], self.image_ids[index]


class TinyLearner:
    primary_metric = "certainty"

    def __init__(self, count=22, norm=True, dropout=0.2, unreadable=()):
        torch.manual_seed(7)
        norm_layers = [nn.BatchNorm2d(4)] if norm else []
        self.model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), *norm_layers, nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(256, 2)
        )
        self.training_set = TinyImages(count, 0, unreadable)
        self.unaugmented_training_set = TinyImages(count, 0, unreadable)
        self.validation_set = TinyImages(10, 1)

    def collate(self, samples):
        found = [sample for sample in samples if sample is not None]
        if not found:
            return None
        images, labels, names = zip(*found, strict=True)
        return TinyBatch(torch.stack(images), torch.stack(labels), list(names))

    def losses(self, model, batch):
        return {"cross_entropy": nn.functional.cross_entropy(model(batch.images), batch.labels)}

    def predict(self, model, batch):
        assert not model.training
        return list(model(batch.images).float().softmax(1).cpu())

    def truths(self, batch):
        return [int(label) for label in batch.labels]

    def metrics(self, predictions, truths):
        chosen = [float(p[t]) for p, t in zip(predictions, truths, strict=True)]
        return {"certainty": sum(chosen) / len(chosen), "images": float(len(chosen))}


class ScriptedLearner(TinyLearner):
    """Its metric is a given series, one value for each evaluation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def metrics(self, predictions, truths):
        return {"certainty": next(self.scores)}
