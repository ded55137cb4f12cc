"""Rows that act in networks, data sets, metrics, exported files and on weights to begin with."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from effects import (
    LITE_CLASSIFIER,
    LITE_DETECTOR,
    LITE_SEGMENTER,
    classifier,
    detector,
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
from safetensors.torch import save_file
from torch import nn
from torchvision.ops import box_iou

from automl_images.core.errors import SettingsError
from automl_images.core.files import write_json
from automl_images.core.hyperparameters import find
from automl_images.core.tracking import NullTracker
from automl_images.core.types import Detections
from automl_images.data.preprocessing import normalise
from automl_images.evaluation.mask_codes import areas
from automl_images.inference.load import load_predictor
from automl_images.jobs.checkpoints import with_checkpoint
from automl_images.jobs.store import JobStore
from automl_images.models import catalogue
from automl_images.tasks import get_task
from automl_images.tasks.objects import _metadata

CLASSES = ("a", "b")
MULTILABEL = "image_classification_multilabel"
SEGMENTATION = "instance_segmentation"


class Says(nn.Module):
    """A network that finds the same, whatever it sees."""

    def __init__(self, *predictions):
        super().__init__()
        self.predictions = predictions

    def forward(self, images, targets=None, sizes=None):
        return self.predictions


def batch_of(learner):
    return learner.collate([learner.training_set[(0, i)] for i in range(len(learner.training_set))])


# Weights to begin with


def weights_file(path, seed):
    """Save random weights of the small classifier."""
    torch.manual_seed(seed)
    values = request_of("image_classification", LITE_CLASSIFIER).hyperparameters
    model = catalogue.build_model("image_classification", LITE_CLASSIFIER, CLASSES, values, weights=None).model
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model.state_dict()


def starts_from(folder, state, **given):
    """Tell whether a learner whose weights come from a checkpoint has these weights."""
    jobs = JobStore(folder / "jobs")
    given = {name: str(value) for name, value in given.items()}
    values = request_of("image_classification", LITE_CLASSIFIER, **given).hyperparameters
    found = with_checkpoint(LITE_CLASSIFIER, values, jobs, NullTracker())["weights"]
    learner = classifier(folder, weights=found)
    return all(torch.equal(value, state[name]) for name, value in learner.model.state_dict().items())


@effect("weights")
def _weights(folder):
    state = weights_file(folder / "own.safetensors", seed=5)
    assert starts_from(folder, state, weights=folder / "own.safetensors")
    assert not starts_from(folder, weights_file(folder / "b.safetensors", 6), weights=folder / "own.safetensors")


@effect("checkpoint_run_id")
def _checkpoint_run_id(folder):
    job, _ = JobStore(folder / "jobs").open("fingerprint", "earlier", {})
    states = [weights_file(job.folder / str(trial) / "best.safetensors", seed=trial) for trial in range(2)]
    for trial, score in enumerate((0.9, 0.4)):
        write_json(job.folder / str(trial) / "result.json", {"primary_metric": score})
    assert starts_from(folder, states[0], checkpoint_run_id="earlier")
    assert not starts_from(folder, states[1], checkpoint_run_id="earlier")
    with pytest.raises(SettingsError, match="neither a job"):
        starts_from(folder, states[0], checkpoint_run_id="other")


@effect("checkpoint_dataset_id")
def _checkpoint_dataset_id(folder):
    for seed, place in enumerate((folder / "one", folder / "two")):
        state = weights_file(place / "w.safetensors", seed)
        assert starts_from(folder, state, checkpoint_dataset_id=place, checkpoint_filename="w.safetensors")


@effect("checkpoint_filename")
def _checkpoint_filename(folder):
    for seed, name in enumerate(("one.safetensors", "two.safetensors")):
        state = weights_file(folder / name, seed)
        assert starts_from(folder, state, checkpoint_dataset_id=folder, checkpoint_filename=name)


# Classification


def linear(learner):
    torch.manual_seed(0)
    side = learner.model.training_size
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, len(CLASSES))).train()


def check_loss(learner, smooth, class_weights=(1.0, 1.0), positive_weights=(1.0, 1.0)):
    """Compare the training loss with its formula; `smooth` makes the targets."""
    model, batch = linear(learner), batch_of(learner)
    logits, targets = model(batch.images), smooth(batch.targets)
    if learner.multilabel:
        present = torch.tensor(positive_weights) * targets * logits.sigmoid().log()
        expected = -(present + (1 - targets) * (-logits).sigmoid().log()).mean()
    else:
        expected = -(torch.tensor(class_weights) * targets * logits.softmax(1).log()).sum(1).mean()
    torch.testing.assert_close(learner.losses(model, batch)["loss"], expected)


@effect("weighted_loss")
def _weighted_loss(folder):
    labels = ["a"] * 6 + ["b"] * 2
    root_a, root_b = math.sqrt(1 / 6), math.sqrt(1 / 2)
    mean = (6 * root_a + 2 * root_b) / 8
    for value, weights in ((0, (1.0, 1.0)), (1, (root_a / mean, root_b / mean)), (2, (2 / 3, 2.0))):
        check_loss(classifier(folder, labels, weighted_loss=value), lambda t: t, class_weights=weights)
    many = [["a"]] * 5 + [["a", "b"]] + [[]] * 2  # six of eight have an `a`, one has a `b`
    for value, weights in ((1, (math.sqrt(2 / 6), math.sqrt(7))), (2, (2 / 6, 7.0))):
        learner = classifier(folder, many, MULTILABEL, weighted_loss=value)
        check_loss(learner, lambda t: t, positive_weights=weights)


@effect("label_smoothing")
def _label_smoothing(folder):
    for share in (0.0, 0.3):
        for labels, task in ((["a", "b"], "image_classification"), ([["a"], ["a", "b"]], MULTILABEL)):
            learner = classifier(folder, labels, task, label_smoothing=share)
            check_loss(learner, lambda targets, share=share: (1 - share) * targets + share / 2)


def mixed(folder, **given):
    """Return a batch of two images with the two as they were, and the targets' share of the first."""
    learner = classifier(folder, **given)
    items = [learner.training_set[(0, i)] for i in range(2)]
    plain = learner.collate([dataclasses.replace(item, seed=None) for item in items]).images
    batch = learner.collate(items)
    share = float(batch.targets[0, 0])
    torch.testing.assert_close(batch.targets, torch.tensor([[share, 1 - share], [1 - share, share]]))
    return batch.images, plain, share


@effect("mixup")
def _mixup(folder):
    images, plain, share = mixed(folder, mixup=0)
    assert share == 1
    assert torch.equal(images, plain)
    images, plain, share = mixed(folder, mixup=1000)  # of which the shares are next to a half
    assert share == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(images, share * plain + (1 - share) * plain.flip(0))


@effect("cutmix")
def _cutmix(folder):
    images, plain, share = mixed(folder, cutmix=0)
    assert share == 1
    assert torch.equal(images, plain)
    images, plain, share = mixed(folder, cutmix=1000)
    assert 0.1 < 1 - share < 0.55  # a rectangle of half the area, of which some may lie outside
    pasted = (images == plain.flip(0)).all(dim=1)
    assert (pasted | (images == plain).all(dim=1)).all()
    assert float(pasted[0].float().mean()) == pytest.approx(1 - share, abs=0.01)


@effect("validation_crop_size")
def _validation_crop_size(folder):
    for size in (32, 48):
        learner = classifier(folder, validation_resize_size=64, validation_crop_size=size)
        cut = (64 - size) // 2
        middle = normalise(picture(64, 64)[cut : 64 - cut, cut : 64 - cut], learner.model.preprocessing)
        np.testing.assert_allclose(learner.validation_set[0].pixels.numpy(), middle, atol=1e-6)


@effect("validation_resize_size")
def _validation_resize_size(folder):
    for size, same in ((64, True), (48, False)):
        learner = classifier(folder, validation_resize_size=size)
        middle = normalise(picture(64, 64)[16:48, 16:48], learner.model.preprocessing)
        assert np.allclose(learner.validation_set[0].pixels.numpy(), middle, atol=1e-6) is same
        assert learner.model.preprocessing.min_size == size


@effect("training_crop_size")
def _training_crop_size(folder):
    for size in (32, 48):
        assert classifier(folder, training_crop_size=size).training_set[(0, 0)].pixels.shape == (3, size, size)


@effect("advanced_settings")
def _advanced_settings(folder):
    for switch in (True, False):
        learner = classifier(folder, advanced_settings={"apply_automl_train_augmentations": switch})
        same = torch.equal(learner.training_set[(0, 0)].pixels, learner.validation_set[0].pixels)
        assert same is not switch
        plans = request_of("object_detection", "yolov5", advanced_settings={"apply_mosaic_for_yolo": switch})
        steps = [step.get("name") for step in plans.augmentation_plan["mosaic"]["training"]]
        assert ("mosaic" in steps) is switch


@effect("augmentations")
def _augmentations_has_no_effect(folder):
    """The service's runtime knows the row only by name; what happens is advanced_settings' to say."""
    assert "no effect" in find("augmentations").meaning
    plans = [
        request_of("object_detection", "yolov5", augmentations=value).augmentation_plan for value in (None, "flip")
    ]
    assert plans[0] == plans[1]


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


def metadata(folder, task=SEGMENTATION, model_name=LITE_SEGMENTER, **given):
    """Return what an exported model says of itself."""
    request = request_of(task, model_name, **given)
    model = get_task(task).trained_model(request, {}, {})
    network = catalogue.build_model(task, model_name, CLASSES, request.hyperparameters, weights=None).model
    return _metadata(network, model)


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


def boxes_model(folder, boxes, scores, **given):
    about = metadata(folder, "object_detection", LITE_DETECTOR, **given)
    arrays = (np.float32(boxes), np.ones(len(boxes), np.int64), np.float32(scores), np.int64(len(boxes)))
    return load_predictor(exported(about, *arrays))


@effect("box_score_threshold")
def _box_score_threshold(folder):
    everything = detections()
    middle = float(everything["scores"].median())
    found = detections(box_score_threshold=middle)
    torch.testing.assert_close(found["scores"], everything["scores"][everything["scores"] > middle])
    for threshold, count in ((0.4, 2), (0.7, 1)):
        model = boxes_model(folder, [[0, 0, 9, 9], [40, 40, 60, 60]], [0.8, 0.6], box_score_threshold=threshold)
        assert len(model.predict([picture(96, 64)])[0]) == count


@effect("nms_iou_threshold")
def _nms_iou_threshold(folder):
    counts = []
    for threshold in (0.2, 0.7):
        found = detections(nms_iou_threshold=threshold)
        overlaps = box_iou(found["boxes"], found["boxes"]).fill_diagonal_(0)
        overlaps[found["labels"][:, None] != found["labels"]] = 0
        assert overlaps.max() <= threshold
        counts.append(len(overlaps))
        assert metadata(folder, nms_iou_threshold=threshold).nms_iou_threshold == threshold
    assert counts[0] < counts[1]


@effect("box_detections_per_image")
def _box_detections_per_image(folder):
    for count in (3, 7):
        assert len(detections(box_detections_per_image=count)["boxes"]) == count
        assert metadata(folder, box_detections_per_image=count).box_detections_per_image == count


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
        model = boxes_model(folder, [[0, 0, 9, 9]], [0.8], **given)
        assert len(model.predict([picture(96, 64)])[0]) == pieces


@effect("tile_overlap_ratio")
def _tile_overlap_ratio(folder):
    for overlap, width in ((0.0, 48), (0.5, 64)):
        given = {"tile_grid_size": "2x1", "tile_overlap_ratio": overlap}
        learner = detector(folder, **given)
        assert [p.placement.width for p in learner.validation_set[0].pieces] == [96, width, width]
        assert [p.left for p in learner.validation_set[0].pieces] == [0, 0, 96 - width]
        assert learner.training_set.elements[1] == (0, (0, 0, width, 64))
        assert metadata(folder, **given).tile_overlap_ratio == overlap


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
        assert metadata(folder, **given).tile_predictions_nms_threshold == threshold


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
        assert metadata(folder, **given).mask_pixel_score_threshold == threshold


def disc_model(folder, **given):
    """Return an exported model that finds a disc."""
    ends = np.linspace(-1, 1, 28)
    disc = np.float32(ends[:, None] ** 2 + ends**2 < 0.9)[None]
    found = (np.float32([[8, 8, 56, 56]]), np.ones(1, np.int64), np.float32([0.9]), np.int64(1), disc)
    return exported(metadata(folder, **given), *found)


@effect("max_number_of_polygon_points")
def _max_number_of_polygon_points(folder):
    counts = []
    for most in (100, 8):
        model = disc_model(folder, max_number_of_polygon_points=most)
        [response] = get_task(SEGMENTATION).predict(model, rows_of(folder, [[]]), {})
        [[outline]] = [found["polygon"] for found in response["boxes"]]
        counts.append(len(outline) // 2)
        assert counts[-1] <= most
    assert counts[0] > 8


# Export


@effect("enable_onnx_normalization")
def _enable_onnx_normalization(folder):
    learner = classifier(folder)
    request = request_of("image_classification", LITE_CLASSIFIER, enable_onnx_normalization=True)
    task = get_task("image_classification")
    content = task.export(task.trained_model(request, learner.model.state_dict(), {}))
    predictor = load_predictor(content)
    pixels = np.ascontiguousarray(picture(32, 32).transpose(2, 0, 1)[None], dtype=np.float32)  # 0..255, as they are
    with torch.no_grad():
        image = torch.from_numpy(normalise(picture(32, 32), learner.model.preprocessing))[None]
        expected = learner.model.eval()(image).numpy()
    np.testing.assert_allclose(predictor.backend.run(pixels)[0], expected, atol=1e-4)
    assert metadata(folder).onnx_normalization is False
    assert metadata(folder, enable_onnx_normalization=True).onnx_normalization is True


def mask_files(folder, **given):
    """Return the names of the pictures of masks that an evaluation writes."""
    task, rows = get_task(SEGMENTATION), rows_of(folder, [[]])
    trained_model = task.trained_model(request_of(SEGMENTATION, LITE_SEGMENTER, **given), {}, {})
    predictions = task.predict(disc_model(folder, **given), rows, {})
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
