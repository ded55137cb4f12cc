import copy
import io

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision.ops import box_iou

from automl_images.core.hyperparameters import resolve
from automl_images.models.yolov5.loss import YOLOv5Loss
from automl_images.models.yolov5.model import YOLOv5Detector, YOLOv5Graph, build_yolov5
from automl_images.models.yolov5.network import SCALES, Scale, YOLOv5Network

CLASSES = ("can", "carton", "bottle")


def build(classes=CLASSES, **given):
    torch.manual_seed(0)
    values = {"model_size": "small", "image_size": 64, **given}
    return build_yolov5(classes, resolve("object_detection", "yolov5", values))


def scene(size=96):
    """Two images with three rectangles of clear colours, one of them without objects in its lower half."""
    images = torch.full((2, 3, size, size), 0.45)
    targets = [
        {"boxes": torch.tensor([[8.0, 8.0, 40.0, 44.0], [50.0, 52.0, 90.0, 84.0]]), "labels": torch.tensor([0, 1])},
        {"boxes": torch.tensor([[20.0, 10.0, 60.0, 72.0]]), "labels": torch.tensor([2])},
    ]
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9]])
    for image, target in zip(images, targets, strict=True):
        for (x0, y0, x1, y1), label in zip(target["boxes"].int().tolist(), target["labels"], strict=True):
            image[:, y0:y1, x0:x1] = colours[label, :, None, None]
    return images, targets


def train(model, steps):
    """Train on the scene; the rate falls to 0 before the end, so that the running statistics of the norms settle."""
    images, targets = scene()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model.train()
    history = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * max(0, min((step + 1) / 5, 1, 1.5 * (0.85 - step / steps)))
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


def assert_overfits(model, steps):
    history = train(model, steps)
    assert history[-1] < history[0] / 4
    images, targets = scene()
    with torch.no_grad():
        found = model.eval()(images)
    for prediction, target in zip(found, targets, strict=True):
        overlaps = box_iou(target["boxes"], prediction["boxes"]) * (target["labels"][:, None] == prediction["labels"])
        assert (overlaps.amax(dim=1) > 0.5).all()
        assert len(prediction["boxes"]) <= 15


def test_one_batch_is_learnt():
    assert_overfits(build(image_size=96), steps=90)


@pytest.mark.slow
@pytest.mark.parametrize("model_size", [size for size in SCALES if size != "small"])
def test_one_batch_is_learnt_by_the_larger_sizes(model_size):
    assert_overfits(build(image_size=96, model_size=model_size), steps=220)


@pytest.mark.parametrize("mode", [True, False])
def test_losses_in_train_and_eval_mode_also_without_objects(mode):
    model = build().train(mode)
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(torch.rand(2, 3, 64, 64), [empty, empty], torch.tensor([[64, 64], [64, 64]]))
    assert set(losses) == {"box", "objectness", "class"}
    assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
    assert losses["objectness"] > 0
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_losses_grow_with_the_batch_size_of_the_settings_not_of_the_batch():
    images, targets = scene()
    small, large = build(training_batch_size=2).eval(), build(training_batch_size=6).eval()
    large.load_state_dict(small.state_dict())
    with torch.no_grad():
        first, second = small(images, targets), large(images, targets)
    for name, value in first.items():
        assert second[name].item() == pytest.approx(3 * value.item(), rel=1e-5)


def test_image_size_is_rounded_up_and_letterboxed():
    preprocessing = build(image_size=321).preprocessing
    assert (preprocessing.resize, preprocessing.max_size, preprocessing.fill) == ("letterbox", 352, (114.0,) * 3)
    assert (preprocessing.mean, preprocessing.std) == ((0, 0, 0), (1, 1, 1))


class FixedRows(torch.nn.Module):
    """Stands where the graph stands and gives rows that were written by hand."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.tensor(rows, dtype=torch.float32)

    def forward(self, images):
        return self.rows[None]


def test_reading_of_predictions_by_hand():
    model = build(box_score_threshold=0.25, nms_iou_threshold=0.5).eval()
    model.graph = FixedRows(
        [
            [50, 50, 20, 20, 0.5, 0.1, 0.8, 0.2],  # 0.40 carton
            [51, 50, 20, 20, 0.9, 0.1, 0.5, 0.2],  # 0.45 carton, overlaps by 19 / 21: the one above goes
            [50, 50, 20, 20, 0.8, 0.6, 0.1, 0.1],  # 0.48 can: another class stays
            [10, 10, 4, 8, 0.5, 0.2, 0.3, 0.4],  # 0.20: too low
            [10, 10, 4, 8, 0.2, 1.0, 0.0, 0.0],  # objectness too low
            [65, 50, 20, 20, 1.0, 0.0, 0.3, 0.0],  # 0.30 carton, overlaps by 6 / 34 with the second: stays
        ]
    )
    (found,) = model(torch.zeros(1, 3, 64, 64))
    assert found["labels"].tolist() == [0, 1, 1]
    assert found["scores"].tolist() == pytest.approx([0.48, 0.45, 0.30])
    assert found["boxes"].tolist() == [[40, 40, 60, 60], [41, 40, 61, 60], [55, 40, 75, 60]]


def test_at_most_300_detections_the_best_ones():
    model = build().eval()
    model.graph = FixedRows([[10 * n, 5, 8, 8, 0.2 + n / 1000, 1, 0, 0] for n in range(400)])
    (found,) = model(torch.zeros(1, 3, 64, 64))
    assert len(found["scores"]) == 300
    assert found["scores"][[0, -1]].tolist() == pytest.approx([0.599, 0.3])


def test_score_threshold_can_be_lowered():
    model = build().eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert len(model(images)[0]["scores"]) == 0  # the prior of objectness is below a hundredth
        model.set_score_threshold(1e-4)
        assert len(model(images)[0]["scores"]) > 0


def test_rows_stand_where_their_cells_are():
    model = build().eval()
    with torch.no_grad():
        for level in model.graph.network.head.levels:
            level.weight.zero_()
            level.bias.zero_()
        rows = model.graph(torch.rand(1, 3, 64, 96))[0]
    assert rows.shape == (3 * (8 * 12 + 4 * 6 + 2 * 3), 8)
    # fine level: 3 anchors of 8 rows of 12 columns; anchor 1, row 5, column 7
    assert rows[(1 * 8 + 5) * 12 + 7].tolist() == pytest.approx([60, 44, 16, 30, 0.5, 0.5, 0.5, 0.5])
    # last of all: stride 32, anchor 2, row 1, column 2
    assert rows[-1].tolist() == pytest.approx([80, 48, 373, 326, 0.5, 0.5, 0.5, 0.5])


def test_ten_layer_groups_and_freezing():
    model = build()
    groups = model.layer_groups()
    assert len(groups) == 10
    backbone = set(model.graph.network.backbone.parameters())
    assert {p for group in groups for module in group for p in module.parameters()} == backbone
    model.freeze(4)
    stopped = {p for group in groups[:4] for module in group for p in module.parameters()}
    assert {p for p in model.parameters() if not p.requires_grad} == stopped
    model.freeze(0)
    assert all(p.requires_grad for p in model.parameters())


def test_multi_scale_draws_sizes_of_the_range_and_goes_on_after_a_resume():
    model = build(image_size=64, multi_scale=True, random_seed=7)
    drawn = [model.random_size.draw() for _ in range(200)]
    assert set(drawn) == {32, 64, 96}
    twin = build(image_size=64, multi_scale=True, random_seed=7)
    assert [twin.random_size.draw() for _ in range(50)] == drawn[:50]
    stream = io.BytesIO()
    torch.save(twin.state_dict(), stream)
    stream.seek(0)
    resumed = build(image_size=64, multi_scale=True, random_seed=7)
    resumed.load_state_dict(torch.load(stream, weights_only=True))
    assert [resumed.random_size.draw() for _ in range(150)] == drawn[50:]
    other = build(image_size=64, multi_scale=True, random_seed=8)
    assert [other.random_size.draw() for _ in range(200)] != drawn


def test_multi_scale_moves_boxes_with_the_pixels():
    resize = build(image_size=96, multi_scale=True).random_size
    images, targets = scene()
    for _ in range(10):
        resized, moved = resize(images, targets)
        zoom = resized.shape[-1] / 96
        assert resized.shape[-2:] == (zoom * 96, zoom * 96)
        for before, after in zip(targets, moved, strict=True):
            assert torch.allclose(after["boxes"], before["boxes"] * zoom)
            assert torch.equal(after["labels"], before["labels"])
    x0, y0, x1, y1 = (moved[1]["boxes"][0]).tolist()
    blue = (resized[1, 2] > 0.675).nonzero()
    assert blue.amin(0).tolist() == pytest.approx([y0, x0], abs=1.01)
    assert (blue.amax(0) + 1).tolist() == pytest.approx([y1, x1], abs=1.01)


def test_multi_scale_is_for_training_only():
    model = build(image_size=64, multi_scale=True).eval()
    images, targets = scene(96)
    with torch.no_grad():
        model(images, targets)
        model(images)
    assert model.random_size.batches == 0
    model.train()
    model(images, targets)
    assert model.random_size.batches == 1


def test_copies_share_nothing():
    model = build(multi_scale=True)
    twin = copy.deepcopy(model)
    twin.random_size.draw()
    assert model.random_size.batches == 0


def assert_onnx_equals_torch(model, path):
    train(model, 3)
    spec = model.eval().export_spec()
    assert (spec.inputs, spec.outputs, spec.decoder, spec.labels) == (("input",), ("output",), "yolov5", CLASSES)
    axes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        spec.module, (torch.rand(2, 3, 96, 64),), str(path), input_names=["input"], output_names=["output"],
        dynamic_shapes=(axes,), dynamo=spec.dynamo, opset_version=20, verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path)
    assert [session.get_inputs()[0].name, session.get_outputs()[0].name] == ["input", "output"]
    for batch, height, width in [(1, 96, 64), (2, 64, 160), (1, 32, 32), (3, 128, 128)]:
        images = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            expected = spec.module(images).numpy()
        (given,) = session.run(None, {"input": images.numpy()})
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_onnx_gives_what_torch_gives(tmp_path):
    """With a thin network, which has every kind of layer."""
    graph = YOLOv5Graph(YOLOv5Network(Scale(0.1, 0.125), 3))
    model = YOLOv5Detector(graph, YOLOv5Loss(3, 16), CLASSES, 96, 0.1, 0.5)
    assert_onnx_equals_torch(model, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("model_size", SCALES)
def test_onnx_of_every_size(model_size, tmp_path):
    assert_onnx_equals_torch(build(model_size=model_size), tmp_path / "model.onnx")
