"""Rows that act in detectors and segmenters: their data, networks, thresholds, tiles, masks and exported files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from effects import (
    CLASSES,
    LITE_DETECTOR,
    LITE_SEGMENTER,
    batch_of,
    detector,
    detector_metadata,
    effect,
    learner_of,
    picture,
    request_of,
    rows_of,
    square,
    trained,
)
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn
from torchvision.ops import box_iou

from automl_images.core.types import Detections
from automl_images.data.mask_codes import areas
from automl_images.inference.load import load_predictor
from automl_images.models import catalogue
from automl_images.tasks import get_task

SEGMENTATION = "instance_segmentation"


class Says(nn.Module):
    """A network that finds the same, whatever it sees."""

    def __init__(self, *predictions):
        super().__init__()
        self.predictions = predictions

    def forward(self, images, targets=None, sizes=None):
        return self.predictions


# Sizes of images and networks


@effect("min_size")
def _min_size(folder):
    for size, (scale, shape) in {64: (0.8, (3, 64, 96)), 40: (0.5, (3, 64, 64))}.items():
        [piece] = detector(folder, width=100, height=80, min_size=size, max_size=96).validation_set[0].pieces
        assert (piece.placement.scale_x, piece.pixels.shape) == (pytest.approx(scale), shape)
        assert piece.target["boxes"][0].tolist() == pytest.approx([0, 0, 50 * scale, 40 * scale])


@effect("max_size")
def _max_size(folder):
    for size, (scale, shape) in {96: (0.8, (3, 64, 96)), 64: (0.64, (3, 64, 64))}.items():
        [piece] = detector(folder, width=100, height=80, min_size=64, max_size=size).validation_set[0].pieces
        assert (piece.placement.scale_x, piece.pixels.shape) == (pytest.approx(scale), shape)


@effect("image_size")
def _image_size(folder):
    for size, side in ((64, 64), (70, 96)):  # up to whole cells of 32 pixels
        learner = detector(folder, "yolov5", image_size=size)
        assert learner.validation_set[0].pieces[0].pixels.shape == (3, side, side)
        assert learner.training_set[(0, 0)].pieces[0].pixels.shape == (3, side, side)


@effect("model_size")
def _model_size(folder):
    for size, millions in (("small", 7.0), ("medium", 20.9)):
        values = request_of("object_detection", "yolov5", model_size=size).hyperparameters
        model = catalogue.build_model("object_detection", "yolov5", CLASSES, values, weights=None).model
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)


@effect("multi_scale")
def _multi_scale(folder):
    for value in (False, True):
        learner, sides = detector(folder, "yolov5", multi_scale=value), set()
        learner.model.graph.network.register_forward_pre_hook(lambda module, given, s=sides: s.add(given[0].shape[-1]))
        batch = batch_of(learner)
        learner.model.train()
        for _ in range(6):
            learner.losses(learner.model, batch)
        assert sides <= {32, 64, 96}
        assert (len(sides) > 1) is value
        assert value or sides == {64}


# Thresholds


def detections(**given):
    """Return what a small detector with random heads finds in noise."""
    given = {"box_score_threshold": 0.0, "nms_iou_threshold": 1.0, "box_detections_per_image": 1000} | given
    values = request_of("object_detection", LITE_DETECTOR, **given).hyperparameters
    torch.manual_seed(0)
    model = catalogue.build_model("object_detection", LITE_DETECTOR, CLASSES, values, weights=None).model.eval()
    with torch.no_grad():
        [found] = model(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    return found


def exported(about, *outputs):
    """Return an ONNX file with this metadata that always finds the same: boxes, labels, scores, their number, masks."""
    names = ("boxes", "labels", "scores", "num_detections", "masks")[: len(outputs)]
    arrays = {name: np.asarray(values)[None] for name, values in zip(names, outputs, strict=True)}
    nodes = [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(a)) for name, a in arrays.items()]
    ends = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in arrays.items()
    ]
    start = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    model = helper.make_model(
        helper.make_graph(nodes, "constant", [start], ends), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    helper.set_model_props(model, about.to_properties())
    return model.SerializeToString()


def boxes_model(boxes, scores, **given):
    about = detector_metadata("object_detection", LITE_DETECTOR, **given)
    arrays = (np.float32(boxes), np.ones(len(boxes), np.int64), np.float32(scores), np.int64(len(boxes)))
    return load_predictor(exported(about, *arrays))


@effect("box_score_threshold")
def _box_score_threshold(folder):
    everything = detections()
    middle = float(everything["scores"].median())
    found = detections(box_score_threshold=middle)
    torch.testing.assert_close(found["scores"], everything["scores"][everything["scores"] > middle])
    for threshold, count in ((0.4, 2), (0.7, 1)):
        model = boxes_model([[0, 0, 9, 9], [40, 40, 60, 60]], [0.8, 0.6], box_score_threshold=threshold)
        assert len(model.predict([picture(96, 64)])[0]) == count


@effect("mask_predictor_hidden_dim")
def _mask_predictor_hidden_dim(folder):
    task, model_name = "instance_segmentation", LITE_SEGMENTER
    for width in (16, 128):
        values = request_of(task, model_name, mask_predictor_hidden_dim=width).hyperparameters
        head = catalogue.build_model(task, model_name, CLASSES, values, weights=None).model.roi_heads.mask_predictor
        assert head.conv5_mask.out_channels == head.mask_fcn_logits.in_channels == width


@effect("nms_iou_threshold")
def _nms_iou_threshold(folder):
    counts = []
    for threshold in (0.2, 0.7):
        found = detections(nms_iou_threshold=threshold)
        overlaps = box_iou(found["boxes"], found["boxes"]).fill_diagonal_(0)
        overlaps[found["labels"][:, None] != found["labels"]] = 0
        assert overlaps.max() <= threshold
        counts.append(len(overlaps))
        assert detector_metadata(nms_iou_threshold=threshold).nms_iou_threshold == threshold
    assert counts[0] < counts[1]


@effect("box_detections_per_image")
def _box_detections_per_image(folder):
    for count in (3, 7):
        assert len(detections(box_detections_per_image=count)["boxes"]) == count
        assert detector_metadata(box_detections_per_image=count).box_detections_per_image == count


def judged(learner, right):
    """Return the metrics of one box that begins where the first object does and reaches to `right`."""
    truth = learner.validation_set[0].truth
    found = Detections(np.float32([[0, 0, right, 32]]), truth.labels[:1], np.float32([0.9]))
    return learner.metrics([found], [truth])


@effect("validation_iou_threshold")
def _validation_iou_threshold(folder):
    for threshold, recall in ((0.5, 0.5), (0.8, 0.0)):  # of two objects one overlaps with 0.75
        learner = detector(folder, validation_iou_threshold=threshold)
        assert judged(learner, 36)["recall"] == pytest.approx(recall)


@effect("validation_metric_type")
def _validation_metric_type(folder):
    voc = {"mean_average_precision", "precision", "recall"}
    metrics = {kind: judged(detector(folder, validation_metric_type=kind), 36) for kind in ("voc", "coco", "coco_voc")}
    assert set(metrics["voc"]) == voc
    assert set(metrics["coco"]) == set(metrics["coco_voc"]) > voc
    assert trained(folder, number_of_epochs=1, validation_metric_type="none").result.metrics == {}
    assert trained(folder, number_of_epochs=1, validation_metric_type="voc").result.metrics != {}


# Tiles


@effect("tile_grid_size")
def _tile_grid_size(folder):
    for grid, pieces, samples in ((None, 1, 1), ("2x1", 3, 3), ("2x2", 5, 3)):  # training takes tiles with objects
        given = {"tile_grid_size": grid, "tile_overlap_ratio": 0.0, "tile_predictions_nms_threshold": 1.0}
        learner = detector(folder, **given)
        assert (len(learner.validation_set[0].pieces), len(learner.training_set)) == (pieces, samples)
        model = boxes_model([[0, 0, 9, 9]], [0.8], **given)
        assert len(model.predict([picture(96, 64)])[0]) == pieces


@effect("tile_overlap_ratio")
def _tile_overlap_ratio(folder):
    for overlap, width in ((0.0, 48), (0.5, 64)):
        given = {"tile_grid_size": "2x1", "tile_overlap_ratio": overlap}
        learner = detector(folder, **given)
        assert [p.placement.width for p in learner.validation_set[0].pieces] == [96, width, width]
        assert [p.left for p in learner.validation_set[0].pieces] == [0, 0, 96 - width]
        assert learner.training_set.elements[1] == (0, (0, 0, width, 64))
        assert detector_metadata(**given).tile_overlap_ratio == overlap


@effect("tile_predictions_nms_threshold")
def _tile_predictions_nms_threshold(folder):
    for threshold, count in ((0.7, 1), (0.8, 2)):  # the image's box and the first tile's overlap with 0.75
        given = {"tile_grid_size": "2x1", "tile_predictions_nms_threshold": threshold}
        learner = detector(folder, **given)
        item = learner.validation_set[0]
        found = [
            prediction(piece, [[0, 0, right, 40]], [score])
            for piece, right, score in zip(item.pieces, (30, 40), (0.9, 0.8), strict=False)
        ]
        said = Says(*found, prediction(item.pieces[2], np.zeros((0, 4)), []))
        assert len(learner.predict(said, learner.collate([item]))[0]) == count
        assert detector_metadata(**given).tile_predictions_nms_threshold == threshold


def prediction(piece, boxes, scores):
    """Return a network's output for boxes of one class in pixels of a piece."""
    placed = torch.from_numpy(piece.placement.to_input(np.float32(boxes)))
    return {"boxes": placed, "labels": torch.zeros(len(boxes), dtype=torch.int64), "scores": torch.tensor(scores)}


# Masks


@effect("mask_pixel_score_threshold")
def _mask_pixel_score_threshold(folder):
    grid = torch.full((1, 28, 28), 0.2)
    grid[:, :, 14:] = 0.8
    for threshold, area in ((0.1, 1024), (0.5, 512)):
        given = {"mask_pixel_score_threshold": threshold}
        learner = learner_of(rows_of(folder, [[square("a")]]), SEGMENTATION, LITE_SEGMENTER, **given)
        item = learner.validation_set[0]
        said = Says({**prediction(item.pieces[0], [[16, 16, 48, 48]], [0.9]), "masks": grid})
        [found] = learner.predict(said, learner.collate([item]))
        assert areas(found.codes)[0] == pytest.approx(area, rel=0.15)  # a border of up to a pixel
        assert detector_metadata(**given).mask_pixel_score_threshold == threshold


def disc_model(**given):
    """Return an exported model that finds a disc."""
    ends = np.linspace(-1, 1, 28)
    disc = np.float32(ends[:, None] ** 2 + ends**2 < 0.9)[None]
    found = (np.float32([[8, 8, 56, 56]]), np.ones(1, np.int64), np.float32([0.9]), np.int64(1), disc)
    return exported(detector_metadata(**given), *found)


@effect("max_number_of_polygon_points")
def _max_number_of_polygon_points(folder):
    counts = []
    for most in (100, 8):
        model = disc_model(max_number_of_polygon_points=most)
        [response] = get_task(SEGMENTATION).predict(model, rows_of(folder, [[]]), {})
        [[outline]] = [found["polygon"] for found in response["boxes"]]
        counts.append(len(outline) // 2)
        assert counts[-1] <= most
    assert counts[0] > 8


# Export


def mask_files(folder, **given):
    """Return the names of the pictures of masks that an evaluation writes."""
    task, rows = get_task(SEGMENTATION), rows_of(folder, [[]])
    trained_model = task.trained_model(request_of(SEGMENTATION, LITE_SEGMENTER, **given), {}, {})
    predictions = task.predict(disc_model(**given), rows, {})
    pictures = task.mask_pictures(predictions, rows, trained_model)
    return [path for each in pictures for path in each.write(folder)]


@effect("export_as_image")
def _export_as_image(folder):
    assert mask_files(folder) == []
    [path] = mask_files(folder, export_as_image=True, image_type="png")
    with Image.open(path) as mask:
        assert mask.size == (64, 64)
        assert np.count_nonzero(np.asarray(mask)) == pytest.approx(0.9 * math.pi / 4 * 48**2, rel=0.1)


@effect("image_type")
def _image_type(folder):
    for kind, form in (("jpg", "JPEG"), ("png", "PNG"), ("bmp", "BMP")):
        [path] = mask_files(folder, export_as_image=True, image_type=kind)
        with Image.open(path) as mask:
            assert (path.suffix, mask.format) == (f".{kind}", form)
