"""Tiny networks of transformers in folders, as `save_pretrained` writes them, and drawn images."""

import contextlib
import io
import json

import numpy as np
import onnxruntime
import pytest
import torch

from automl_images.core.hyperparameters import resolve
from automl_images.export.onnx import export_onnx
from automl_images.inference.metadata import ClassifierMetadata, DetectorMetadata
from automl_images.models.catalogue import build_model

pytest.importorskip("transformers")
from tiny_transformers import SIDE, save_tiny

CLASSES = ("can", "carton", "water_bottle")


@pytest.fixture
def saved(tmp_path):
    """Save a tiny network of a type with random weights; gives its folder and the network."""

    def save(kind, task, preprocessor=None):
        folder = tmp_path / kind
        network = save_tiny(kind, task, folder, seed=3)
        if preprocessor is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return str(folder), network

    return save


@pytest.fixture
def build():
    """Build a model of the catalogue or of a folder with resolved hyper-parameters."""

    def built(task, name, weights="auto", **given):
        torch.manual_seed(0)
        side = 2 * SIDE if "deformable" in name.rsplit("/", 1)[-1] else SIDE
        sized = {} if task == "image_classification" else {"image_size": side, "box_score_threshold": 0.0}
        return build_model(task, name, CLASSES, resolve(task, name, {**sized, **given}), weights)

    return built


@pytest.fixture
def scenes():
    """Gives the scenes in the size of a model's input: images and targets."""

    def sized(model):
        images, targets = drawn()
        times = model.preprocessing.max_size // SIDE
        larger = [{**target, "boxes": target["boxes"] * times} for target in targets]
        return images.repeat_interleave(times, 2).repeat_interleave(times, 3), larger

    return sized


def drawn():
    """Draw four images with two rectangles each, the last one empty."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, SIDE, SIDE, generator=generator) * 0.3
    targets = []
    for number, image in enumerate(images):
        centres = torch.rand(2, 2, generator=generator) * SIDE * 0.5 + SIDE * 0.25
        halves = torch.rand(2, 2, generator=generator) * SIDE * 0.15 + SIDE * 0.1
        boxes = torch.cat([centres - halves, centres + halves], dim=1).round()[: 0 if number == 3 else 2]
        labels = torch.tensor([number % 3, (number + 1) % 3])[: len(boxes)]
        masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
        for mask, (x1, y1, x2, y2), label in zip(masks, boxes.int().tolist(), labels.tolist(), strict=True):
            image[label, y1:y2, x1:x2] += 0.7
            mask[y1:y2, x1:x2] = True
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets


@pytest.fixture
def fit():
    """Train a detector a little on a batch; gives the losses."""

    def fitted(model, images, targets, steps, rate=2e-3):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
        history = []
        model.train()
        for _ in range(steps):
            loss = sum(model(images, targets).values())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            history.append(loss.item())
        model.eval()
        return history

    return fitted


@pytest.fixture
def both(tmp_path):
    """Export a model with the project's exporter; gives a function from images to torch's and ONNX's outputs."""

    def exported(model, task):
        spec, side = model.export_spec(), model.preprocessing.max_size
        same = {
            "model_name": "tiny",
            "task": task,
            "classes": model.classes,
            "labels": spec.labels,
            "preprocessing": model.preprocessing,
            "decoder": spec.decoder,
        }
        if task == "image_classification":
            metadata = ClassifierMetadata(**same)
        else:
            limits = {"box_score_threshold": 0.0, "nms_iou_threshold": 0.5, "box_detections_per_image": 100}
            metadata = DetectorMetadata(**same, **limits)
        path = tmp_path / "model.onnx"
        with contextlib.redirect_stdout(io.StringIO()):
            export_onnx(spec, path, metadata, torch.zeros(2, 3, side, side))
        session = onnxruntime.InferenceSession(path)
        module = spec.module.eval()

        def run(images):
            with torch.no_grad():
                expected = module(images)
            expected = [expected] if isinstance(expected, torch.Tensor) else list(expected)
            actual = session.run(list(spec.outputs), {spec.inputs[0]: images.numpy()})
            return [value.numpy() for value in expected], actual

        return run

    return exported


@pytest.fixture
def assert_same_detections(both, scenes):
    """Hold torch's detections of several batches against ONNX's, as sets: near-tied scores may swap places.

    Only the better half of the scores counts: what a network proposes in the background is near-tied before it has
    learnt much, and then the last of twenty places is a matter of rounding.
    """

    def check(model, task, pixels=0.05, tolerance=1e-4):
        images = scenes(model)[0]
        with torch.no_grad():
            best = max(score for one in model(images) for score in one["scores"].tolist())
        model.set_score_threshold(0.5 * best)
        run = both(model, task)
        compared = 0
        noise = 0.05 * torch.randn(images[:3].shape, generator=torch.Generator().manual_seed(2))
        for batch in (images, images[:1], images[:3] + noise):
            expected, actual = run(batch)
            assert np.array_equal(expected[3], actual[3])
            for image, count in enumerate(actual[3].tolist()):
                compared += count
                if count:
                    ours, theirs = ([v[image, :count] for v in (*all_[:3], *all_[4:])] for all_ in (expected, actual))
                    _same_set(ours, theirs, pixels, tolerance)
        assert compared > 0

    return check


def _same_set(expected, actual, pixels, tolerance):
    cost = np.abs(expected[0][:, None] - actual[0][None]).max(-1)
    cost = cost + 1e3 * (expected[1][:, None] != actual[1][None]) + 100 * np.abs(expected[2][:, None] - actual[2][None])
    if len(expected) > 3:
        cost = cost + np.abs(expected[3][:, None] - actual[3][None]).max((2, 3))
    partner = cost.argmin(1)
    assert np.array_equal(expected[1], actual[1][partner])
    assert np.abs(expected[0] - actual[0][partner]).max() < pixels
    assert np.abs(expected[2] - actual[2][partner]).max() < tolerance
    if len(expected) > 3:
        assert np.abs(expected[3] - actual[3][partner]).max() < 1e-3
