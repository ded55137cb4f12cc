"""Every network of the catalogue, trained a little, exports and gives onnxruntime the results of torch."""

import numpy as np
import pytest
import torch

from automl_images.core.hyperparameters import resolve
from automl_images.core.types import Objects
from automl_images.data.preprocessing import preprocess, resize_masks
from automl_images.evaluation.voc import voc_metrics
from automl_images.export.onnx import export_onnx
from automl_images.export.parity import check_parity
from automl_images.export.parity_report import require_parity
from automl_images.export.torch_backend import TorchBackend
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.load import load_predictor
from automl_images.inference.metadata import DetectorMetadata
from automl_images.models import catalogue

BOXES, MASKS = "object_detection", "instance_segmentation"
CLASSES = ("bar", "square")
SCORE = 0.01
SMALL = {"min_size": 128, "max_size": 192, "image_size": 160, "model_size": "small"}


def _scenes(count, height=160, width=192):
    """Grey noise with bright squares and dark upright bars, and their masks."""
    generator = np.random.default_rng(5)
    scenes = []
    for _ in range(count):
        image = generator.integers(90, 140, (height, width, 3)).astype(np.uint8)
        boxes, labels = [], []
        for column in range(generator.integers(1, 4)):
            label, side = generator.integers(0, 2), generator.integers(28, 50)
            w, h = (side, side) if label else (side // 2, min(2 * side, 90))
            x, y = column * 64 + generator.integers(0, 64 - w), generator.integers(0, height - h)
            image[y : y + h, x : x + w] = generator.integers(200, 256, 3) if label else generator.integers(0, 40, 3)
            boxes.append((x, y, x + w, y + h))
            labels.append(label)
        masks = np.zeros((len(boxes), height, width), bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
            mask[top:bottom, left:right] = True
        boxes = np.array(boxes, np.float32)
        scenes.append((image, Objects(boxes, np.array(labels, np.int64), np.zeros(len(labels), bool), masks)))
    return [scene[0] for scene in scenes], [scene[1] for scene in scenes]


def _train(model, images, truths, steps, batch=4):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    model.train()
    for step in range(steps):
        chosen = [(step * batch + n) % len(images) for n in range(batch)]
        pixels, targets = [], []
        for index in chosen:
            array, placement = preprocess(images[index], model.preprocessing)
            pixels.append(torch.from_numpy(array))
            boxes = torch.from_numpy(placement.to_input(truths[index].boxes))
            masks = torch.from_numpy(resize_masks(truths[index].masks, placement, *array.shape[1:]))
            targets.append({"boxes": boxes, "labels": torch.from_numpy(truths[index].labels), "masks": masks})
        loss = sum(model(torch.stack(pixels), targets).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    assert torch.isfinite(loss)
    return model.eval()


def _metadata(task, name, model, spec, values):
    return DetectorMetadata(
        model_name=name,
        task=task,
        classes=CLASSES,
        labels=spec.labels,
        preprocessing=model.preprocessing,
        decoder=spec.decoder,
        box_score_threshold=values["box_score_threshold"],
        nms_iou_threshold=values.get("nms_iou_threshold", 1.0),
        box_detections_per_image=values.get("box_detections_per_image", 300),
        graph_score_threshold=spec.score_threshold,
        mask_pixel_score_threshold=values.get("mask_pixel_score_threshold"),
    )


def _exported(name, folder, steps, task=BOXES, **options):
    torch.manual_seed(0)
    values = {key: value for key, value in SMALL.items() if key in resolve(task, name, {})}
    values = resolve(task, name, {**values, **options})
    model = catalogue.build_model(task, name, CLASSES, values, "auto" if "lite0" in name else None).model
    images, truths = _scenes(16)
    _train(model, images, truths, steps)
    model.set_score_threshold(SCORE)
    spec = model.export_spec()
    metadata = _metadata(task, name, model, spec, values)
    example = torch.from_numpy(preprocess(images[0], model.preprocessing)[0])[None]
    export_onnx(spec, folder / "model.onnx", metadata, example)
    return check_parity(
        DetectionPredictor(TorchBackend(spec, metadata), metadata),
        load_predictor(folder / "model.onnx", threads=1),
        images[:8],
        truths[:8],
        lambda found, truth: voc_metrics(found, truth, len(CLASSES)).mean_average_precision,
    )


def test_a_small_yolo_passes_the_gate(tmp_path):
    report = _exported("yolov5", tmp_path, steps=4)
    require_parity(report.as_dict())
    assert report.cases[0].matched > 20


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [(task, name) for task in (BOXES, MASKS) for name in catalogue.names(task)])
def test_every_model_passes_the_gate(task, name, tmp_path):
    report = _exported(name, tmp_path, steps=40, task=task)
    require_parity(report.as_dict())
    assert report.cases[0].matched > 5
    assert (report.cases[0].largest_mask_difference is not None) == (task == MASKS)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["medium", "large", "extra_large"])
def test_every_size_passes_the_gate(size, tmp_path):
    require_parity(_exported("yolov5", tmp_path, steps=20, model_size=size).as_dict())
