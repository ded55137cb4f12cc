import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from automl_images.core.types import Preprocessing
from automl_images.export.onnx import export_onnx
from automl_images.inference.metadata import DetectorMetadata
from automl_images.models.base import ExportSpec

CLASSES = ("blue", "green", "red")


class ChannelBoxes(nn.Module):
    """Finds the box around all bright pixels of each colour, with the outputs of an R-CNN; works at any size."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([1.0, 0.9, 0.8]))

    def forward(self, images):
        bright = (images > 0.2).float()
        x1, x2 = self._ends(bright.amax(dim=2))
        y1, y2 = self._ends(bright.amax(dim=3))
        share = (bright * images).sum(dim=(2, 3)) / bright.sum(dim=(2, 3)).clamp(min=1)
        scores, order = (share * self.gain).topk(3, dim=1)
        boxes = torch.stack([x1, y1, x2, y2], dim=2).gather(1, order[..., None].expand(-1, -1, 4))
        found = scores > 0.01
        return boxes, 3 - order, torch.where(found, scores, torch.full_like(scores, -1.0)), found.sum(dim=1)

    @staticmethod
    def _ends(line):
        places = torch.arange(line.shape[2], dtype=line.dtype)
        first = torch.where(line > 0, places, torch.full_like(line, 1e6)).amin(dim=2)
        return first, (line * (places + 1)).amax(dim=2)


class Grid(nn.Module):
    """An untrained one-level YOLO: `(B, N, 5 + 3)` with N from the input's size."""

    def __init__(self, stride=16):
        super().__init__()
        self.stride = stride
        self.head = nn.Sequential(nn.Conv2d(3, 8, stride, stride), nn.BatchNorm2d(8))

    def forward(self, images):
        raw = self.head(images)
        rows = torch.arange(raw.shape[2], dtype=raw.dtype)[:, None].expand(raw.shape[2], raw.shape[3])
        columns = torch.arange(raw.shape[3], dtype=raw.dtype)[None, :].expand(raw.shape[2], raw.shape[3])
        centres = (raw[:, :2].sigmoid() + torch.stack([columns, rows])) * self.stride
        sizes = (2 * raw[:, 2:4].sigmoid()) ** 2 * 24
        return torch.cat([centres, sizes, raw[:, 4:].sigmoid()], dim=1).flatten(2).transpose(1, 2)


@dataclasses.dataclass(frozen=True)
class Network:
    spec: ExportSpec
    metadata: DetectorMetadata
    example: torch.Tensor


@pytest.fixture(scope="session")
def padded():
    spec = ExportSpec(
        module=ChannelBoxes().eval(),
        inputs=("input",),
        outputs=("boxes", "labels", "scores", "num_detections"),
        dynamic=("batch", "height", "width"),
        decoder="padded_detections",
        labels=("--bg--", *CLASSES),
    )
    metadata = DetectorMetadata(
        model_name="channel_boxes",
        task="object_detection",
        classes=CLASSES,
        labels=spec.labels,
        preprocessing=Preprocessing("shorter_side", 64, 128, fill=(0, 0, 0)),
        decoder=spec.decoder,
        box_score_threshold=0.3,
        nms_iou_threshold=0.5,
        box_detections_per_image=3,
        graph_score_threshold=0.01,
    )
    return Network(spec, metadata, torch.rand(1, 3, 64, 96))


@pytest.fixture(scope="session")
def yolo():
    torch.manual_seed(0)
    spec = ExportSpec(Grid().eval(), ("input",), ("output",), ("batch",), "yolov5", CLASSES)
    metadata = DetectorMetadata(
        model_name="grid",
        task="object_detection",
        classes=CLASSES,
        labels=CLASSES,
        preprocessing=Preprocessing("letterbox", 128, 128, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)),
        decoder=spec.decoder,
        box_score_threshold=0.1,
        nms_iou_threshold=0.5,
        box_detections_per_image=300,
    )
    return Network(spec, metadata, torch.rand(1, 3, 128, 128))


@pytest.fixture(scope="session")
def padded_file(padded, tmp_path_factory):
    path = tmp_path_factory.mktemp("padded") / "model.onnx"
    return path, export_onnx(padded.spec, path, padded.metadata, padded.example)


@pytest.fixture(scope="session")
def yolo_file(yolo, tmp_path_factory):
    path = tmp_path_factory.mktemp("yolo") / "model.onnx"
    return path, export_onnx(yolo.spec, path, yolo.metadata, yolo.example)


@pytest.fixture(scope="session")
def images():
    """Dark images of several sizes with one rectangle of each of one to three colours, and an empty one."""
    generator = np.random.default_rng(0)
    drawn = [np.zeros((80, 100, 3), np.uint8)]
    for number in range(9):
        height, width = generator.integers(60, 160, 2)
        image = generator.integers(0, 30, (height, width, 3)).astype(np.uint8)
        for channel in range(1 + number % 3):
            x, y = generator.integers(0, (width - 30, height - 30))
            image[y : y + 25, x : x + generator.integers(8, 30), channel] = generator.integers(120, 256)
        drawn.append(image)
    return drawn
