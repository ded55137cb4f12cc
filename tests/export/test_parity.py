import copy
import dataclasses
import json
import math

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from automl_images.core.errors import ParityError
from automl_images.export.parity import check_parity
from automl_images.export.parity_report import require_parity
from automl_images.export.torch_backend import TorchBackend
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.load import load_predictor


def _count(predictions, truths):
    """A metric of the test: the mean score of all detections."""
    assert len(predictions) == len(truths)
    scores = np.concatenate([found.scores for found in predictions])
    return float(scores.mean()) if len(scores) else math.nan


def _check(network, candidate, images, **options):
    reference = DetectionPredictor(TorchBackend(network.spec, network.metadata), network.metadata)
    return check_parity(reference, candidate, images, [None] * len(images), _count, **options)


@pytest.fixture(params=["padded", "yolo"])
def exported(request):
    network = request.getfixturevalue(request.param)
    return network, request.getfixturevalue(f"{request.param}_file")[0]


def test_an_exported_network_passes(exported, images):
    network, path = exported
    report = _check(network, load_predictor(path, threads=1), images)
    require_parity(report.as_dict())
    assert report.passed
    assert report.reference_metric == pytest.approx(report.candidate_metric, abs=1e-5)
    names = [case.name for case in report.cases]
    assert names[-5:] == [
        "some validation images in batches",
        "some validation images one by one",
        "images of other sizes and shapes",
        "grey noise",
        "a threshold that nothing reaches",
    ]
    assert all(case.largest_box_difference < 1e-2 and case.unmatched == 0 for case in report.cases)
    assert report.cases[0].detections > 10
    assert json.loads(json.dumps(report.as_dict()))["passed"] is True


def test_tiles_are_compared_too(yolo, yolo_file, images):
    tiled = yolo.metadata.model_copy(update={"tile_grid_size": (2, 2)})
    reference = DetectionPredictor(TorchBackend(yolo.spec, tiled), tiled)
    candidate = DetectionPredictor(load_predictor(yolo_file[0], threads=1).backend, tiled)
    require_parity(check_parity(reference, candidate, images[:4], [None] * 4, _count).as_dict())


def test_normalisation_inside_is_compared_too(yolo, images, tmp_path):
    from automl_images.export.onnx import export_onnx

    inside = dataclasses.replace(yolo, metadata=yolo.metadata.model_copy(update={"onnx_normalization": True}))
    export_onnx(inside.spec, tmp_path / "model.onnx", inside.metadata, inside.example)
    require_parity(_check(inside, load_predictor(tmp_path / "model.onnx", threads=1), images[:4]).as_dict())


def _with_other_weights(path, change):
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(change(values).astype(np.float32), tensor.name))
    return load_predictor(model.SerializeToString(), threads=1)


@pytest.mark.parametrize(
    "change", [lambda w: w * 1.05, lambda w: w[:, ::-1], lambda w: np.round(w, 2)], ids=["scaled", "bgr", "rounded"]
)
def test_a_changed_model_fails(yolo, yolo_file, images, change):
    report = _check(yolo, _with_other_weights(yolo_file[0], change), images)
    assert not report.passed
    with pytest.raises(ParityError, match=r"validation images in batches: .* detections differ"):
        require_parity(report.as_dict())


def test_a_small_shift_of_boxes_fails(yolo, yolo_file, images):
    """As of a half-pixel mistake: scores and order are right, so no tie may excuse it."""
    backend = load_predictor(yolo_file[0], threads=1).backend

    class Shifted:
        dynamic_batch = True

        def run(self, batch):
            output = backend.run(batch)[0].copy()
            output[..., :2] += 0.5
            return [output]

    report = _check(yolo, DetectionPredictor(Shifted(), yolo.metadata), images)
    with pytest.raises(ParityError, match=r"some validation images in batches: .* detections differ"):
        require_parity(report.as_dict())


def test_ties_that_rounding_decides_pass(yolo, images):
    """A network that gives all cells the same scores, up to rounding: suppression keeps arbitrary ones."""

    class Flat:
        dynamic_batch = True

        def __init__(self, seed):
            self.seed = seed

        def run(self, batch):
            columns, rows = np.meshgrid(np.arange(0, 128, 8), np.arange(0, 128, 8))
            grid = np.stack([columns.ravel(), rows.ravel()], axis=1) + 4
            rounding = np.random.default_rng(self.seed).uniform(-1e-7, 1e-7, (len(grid), 4))
            scores = np.array([0.5, 0.1, 0.9, 0.2]) + rounding
            image = np.concatenate([grid, np.full((len(grid), 2), 30.0), scores], axis=1)
            return [np.repeat(image[None], len(batch), axis=0).astype(np.float32)]

    left, right = (DetectionPredictor(Flat(seed), yolo.metadata) for seed in (1, 2))
    assert not np.array_equal(left.predict(images[:1])[0].boxes, right.predict(images[:1])[0].boxes)
    report = check_parity(left, right, images, [None] * len(images), _count)
    require_parity(report.as_dict())


def test_other_thresholds_fail(yolo, yolo_file, images):
    """The same network with another post-processing is not the same model."""
    backend = load_predictor(yolo_file[0], threads=1).backend
    report = _check(
        yolo, DetectionPredictor(backend, yolo.metadata.model_copy(update={"nms_iou_threshold": 0.2})), images
    )
    with pytest.raises(ParityError, match="thresholds of both sides differ"):
        require_parity(report.as_dict())


def test_a_shifted_label_fails(padded, padded_file, images):
    backend = load_predictor(padded_file[0], threads=1).backend

    class Shifted:
        dynamic_batch = True

        def run(self, batch):
            boxes, labels, scores, count = backend.run(batch)
            return [boxes, labels % 3 + 1, scores, count]

    report = _check(padded, DetectionPredictor(Shifted(), padded.metadata), images)
    assert not report.passed
    assert report.cases[0].label_mismatches > 0


def test_nothing_found_is_no_proof(padded, padded_file):
    black = [np.zeros((64, 64, 3), np.uint8)] * 2

    class Blind:
        dynamic_batch = True

        def run(self, batch):
            n = len(batch)
            return [
                np.zeros((n, 3, 4), np.float32),
                np.ones((n, 3), np.int64),
                -np.ones((n, 3), np.float32),
                np.zeros(n, np.int64),
            ]

    blind = DetectionPredictor(Blind(), padded.metadata)
    report = check_parity(blind, blind, black, [None] * 2, _count)
    assert not report.passed
    assert report.as_dict()["reference_metric"] is None
    with pytest.raises(ParityError, match="nothing was compared"):
        require_parity(report.as_dict())


def test_another_metric_fails(yolo, yolo_file, images):
    reference = DetectionPredictor(TorchBackend(yolo.spec, yolo.metadata), yolo.metadata)
    values = iter([0.5, 0.6])
    report = check_parity(
        reference, load_predictor(yolo_file[0], threads=1), images[:2], [None] * 2, lambda *_: next(values)
    )
    with pytest.raises(ParityError, match=r"primary metric 0\.50000 against 0\.60000"):
        require_parity(report.as_dict())


def test_the_reference_is_a_copy(yolo):
    network = copy.deepcopy(yolo.spec.module)
    backend = TorchBackend(dataclasses.replace(yolo.spec, module=network), yolo.metadata)
    batch = np.ones((1, 3, 128, 128), np.float32)
    before = backend.run(batch)[0]
    with torch.no_grad():
        network.head[0].weight.zero_()
    np.testing.assert_array_equal(backend.run(batch)[0], before)


def test_an_empty_result_is_compared(exported, images):
    network, path = exported
    report = _check(network, load_predictor(path, threads=1), images)
    assert report.cases[-1].images == 4
    assert report.cases[-1].detections == report.cases[-1].unmatched == 0


def test_a_missing_detection_fails(padded, padded_file, images):
    backend = load_predictor(padded_file[0], threads=1).backend

    class Forgetful:
        dynamic_batch = True

        def run(self, batch):
            boxes, labels, scores, count = backend.run(batch)
            return [boxes, labels, scores, np.maximum(count - 1, 0)]

    report = _check(padded, DetectionPredictor(Forgetful(), padded.metadata), images)
    assert report.cases[0].unmatched > 5
    with pytest.raises(ParityError, match=rf"{len(images)} validation images in batches: .* without a partner"):
        require_parity(report.as_dict())


class _Masked:
    """A detector with masks: discs in its boxes, changed by a function of the grids."""

    dynamic_batch = True

    def __init__(self, backend, change=lambda masks: masks):
        self.backend, self.change = backend, change

    def run(self, batch):
        outputs = self.backend.run(batch)
        y, x = np.mgrid[:14, :14] - 6.5
        disc = (1 / (1 + np.exp(x**2 + y**2 - 30))).astype(np.float32)
        return [*outputs, self.change(np.tile(disc, (*outputs[1].shape, 1, 1)))]


def _masks_compared(padded, padded_file, images, change):
    metadata = padded.metadata.model_copy(update={"mask_pixel_score_threshold": 0.5})
    backend = load_predictor(padded_file[0], threads=1).backend
    sides = [DetectionPredictor(_Masked(backend, c), metadata) for c in (lambda masks: masks, change)]
    return check_parity(*sides, images, [None] * len(images), _count)


def test_equal_masks_pass_up_to_rounding(padded, padded_file, images):
    report = _masks_compared(padded, padded_file, images, lambda masks: masks + 1e-6)
    require_parity(report.as_dict())
    assert 0 < report.cases[0].largest_mask_difference < 1e-3


@pytest.mark.parametrize(
    "change",
    [lambda m: np.roll(m, 1, axis=-1), lambda m: m.swapaxes(-1, -2)[..., ::2, ::2], lambda m: 0 * m],
    ids=["shifted", "smaller", "empty"],
)
def test_wrong_masks_fail(padded, padded_file, images, change):
    report = _masks_compared(padded, padded_file, images, change)
    assert report.cases[0].largest_box_difference == 0
    assert report.cases[0].largest_mask_difference > 0.1
    with pytest.raises(ParityError, match=r"batches: .* detections differ \(boxes up to 0 px, masks up to"):
        require_parity(report.as_dict())


def test_masks_of_one_side_only_fail(padded, padded_file, images):
    metadata = padded.metadata
    backend = load_predictor(padded_file[0], threads=1).backend
    sides = DetectionPredictor(_Masked(backend), metadata), DetectionPredictor(backend, metadata)
    assert not check_parity(*sides, images, [None] * len(images), _count).passed
    plain = check_parity(sides[1], sides[1], images, [None] * len(images), _count)
    assert plain.passed
    assert plain.cases[0].largest_mask_difference is None


def test_the_metric_sees_masks_as_codes(padded, padded_file, images):
    seen = []

    def metric(predictions, truths):
        seen.extend(predictions)
        return 0.5

    metadata = padded.metadata.model_copy(update={"mask_pixel_score_threshold": 0.5})
    side = DetectionPredictor(_Masked(load_predictor(padded_file[0], threads=1).backend), metadata)
    check_parity(side, side, images, [None] * len(images), metric)
    assert len(seen) == 2 * len(images)
    assert all(found.masks is None and len(found.codes) == len(found) for found in seen)
    sizes = {tuple(code["size"]) for found in seen for code in found.codes}
    assert sizes
    assert sizes <= {image.shape[:2] for image in images}
