"""Mask R-CNN keeps the contract of a detector with masks and finds what torchvision's own inference finds."""

import re

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList

from automl_images.core.hyperparameters import resolve
from automl_images.data.masks import paste
from automl_images.data.preprocessing import preprocess
from automl_images.export.onnx import exportable
from automl_images.export.torch_backend import TorchBackend
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.metadata import DetectorMetadata
from automl_images.models.catalogue import MODELS, build_model, names
from automl_images.models.weights import load_source

TASK = "instance_segmentation"
LITE = "maskrcnn_efficientnet_lite0_fpn"
NAMES = [name for name in names(TASK) if name.startswith("maskrcnn_")]
CLASSES = ("can", "carton", "water_bottle")
EACH = [pytest.param(name, marks=() if name == LITE else pytest.mark.slow) for name in NAMES]


def built(name, weights=None, **given):
    torch.manual_seed(0)
    values = resolve(TASK, name, {"box_score_threshold": 0.02, "min_size": 128, "max_size": 160, **given})
    return build_model(TASK, name, CLASSES, values, weights).model


def ellipse(box, height, width):
    x1, y1, x2, y2 = box
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1


@pytest.fixture(scope="module")
def scene():
    """Two images of bright ellipses on noise; the third is empty, and smaller than its masks' canvas."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 128, 160, generator=generator) * 0.4 - 1
    boxes = [[[16, 20, 70, 90], [90, 40, 150, 110]], [[40, 30, 120, 80]], []]
    labels = [[0, 2], [1], []]
    targets = []
    for image, image_boxes, image_labels in zip(images, boxes, labels, strict=True):
        masks = [ellipse(box, 128, 160) for box in image_boxes]
        for mask, label in zip(masks, image_labels, strict=True):
            image[label][mask] += 1.5
        targets.append(
            {
                "boxes": torch.tensor(image_boxes, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(image_labels, dtype=torch.int64),
                "masks": torch.stack(masks) if masks else torch.zeros(0, 100, 120, dtype=torch.bool),
            }
        )
    return images, targets, torch.tensor([[128, 160], [128, 150], [100, 120]])


def trained(name, scene, steps, rate):
    model = built(name, "auto", layers_to_freeze=3).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate)
    history = []
    for _ in range(steps):
        losses = model(scene[0], scene[1])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        history.append({key: loss.item() for key, loss in losses.items()})
    return model.eval(), history


@pytest.fixture(scope="module")
def learnt(scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        return trained(LITE, scene, steps=25, rate=1e-3)


def stock_of(model):
    """Torchvision's own Mask R-CNN around the parts of ours."""
    stock = MaskRCNN(model.backbone, len(CLASSES) + 1).eval()
    stock.rpn, stock.roi_heads = model.rpn, model.roi_heads
    return stock


def stock_detections(model, images, original):
    """What torchvision's inference gives for inputs of one size, in images of the size `original`."""
    stock, sizes = stock_of(model), [tuple(images.shape[2:])] * len(images)
    with torch.no_grad():
        features = stock.backbone(images)
        proposals, _ = stock.rpn(ImageList(images, sizes), features)
        found, _ = stock.roi_heads(features, proposals, sizes)
        return stock.transform.postprocess(found, sizes, [original] * len(images))


def metadata_of(model, **given):
    spec = model.export_spec()
    values = {
        "model_name": LITE,
        "task": TASK,
        "classes": CLASSES,
        "labels": spec.labels,
        "preprocessing": model.preprocessing,
        "decoder": spec.decoder,
        "box_score_threshold": 0.3,
        "nms_iou_threshold": 0.5,
        "box_detections_per_image": 100,
        "mask_pixel_score_threshold": 0.5,
    }
    return DetectorMetadata(**{**values, **given})


@pytest.mark.parametrize("name", NAMES)
def test_each_builds_with_the_size_that_the_catalogue_states(name):
    with torch.device("meta"):
        model = built(name)
    assert abs(sum(p.numel() for p in model.parameters()) / 1e6 - MODELS.get(name).million_parameters) < 1
    assert model.export_spec().outputs == ("boxes", "labels", "scores", "num_detections", "masks")
    heads = [key for key in model.state_dict() if key.startswith(MODELS.get(name).heads)]
    assert [key for key in heads if "mask" in key] == [
        f"roi_heads.mask_predictor.mask_fcn_logits.{w}" for w in ("weight", "bias")
    ]


def test_the_models_of_the_specification_are_there():
    assert {f"maskrcnn_resnet{depth}_fpn" for depth in (18, 34, 50, 101, 152)} <= set(NAMES)


@pytest.mark.parametrize("name", EACH)
def test_losses_are_finite_and_reach_every_weight(name, scene):
    model = built(name).train()
    losses = model(scene[0], scene[1])
    assert set(losses) > {"loss_mask"}
    assert losses["loss_mask"].item() == pytest.approx(np.log(2), abs=0.3)  # undecided at first
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


def test_weights_of_coco_come_in_whatever_the_classes(tmp_path):
    """torchvision's file calls the layers of the mask head by older names, which are understood."""
    model = built("maskrcnn_resnet50_fpn")
    older, heads = {}, MODELS.get("maskrcnn_resnet50_fpn").heads
    for name, value in model.state_dict().items():
        old = re.sub(r"mask_head\.(\d)\.0", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}", name)
        older[old] = torch.zeros(91, *value.shape[1:]) if name.startswith(heads) else torch.full_like(value, 2)
    torch.save(older, tmp_path / "coco.pth")
    source = MODELS.get("maskrcnn_resnet50_fpn").sources[0]
    assert source.name == "MaskRCNN_ResNet50_FPN_Weights.COCO_V1"
    load_source(model, source, tmp_path / "coco.pth", heads)
    state = model.state_dict()
    assert state["roi_heads.mask_head.3.0.weight"].eq(2).all()
    assert state["roi_heads.mask_predictor.conv5_mask.weight"].eq(2).all()
    assert state["roi_heads.mask_predictor.mask_fcn_logits.weight"].shape[0] == 4


def test_background_alone_gives_a_mask_loss_of_nothing(scene):
    model = built(LITE).train()
    losses = model(scene[0][2:], [scene[1][2]])
    assert losses["loss_mask"].item() == 0
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_overfits_one_batch(learnt, scene):
    model, history = learnt
    assert sum(history[-1].values()) < 0.35 * sum(history[0].values())
    assert history[-1]["loss_mask"] < 0.5 * history[0]["loss_mask"]
    with torch.no_grad():
        found = model(scene[0])
    assert not (found[2]["scores"] > 0.5).any()
    for image, target in zip(found[:2], scene[1][:2], strict=True):
        masks = torch.from_numpy(paste(image["masks"].numpy(), image["boxes"].numpy(), 160, 128, 0.5))
        union = (masks[:, None] | target["masks"]).sum(dim=(2, 3))
        overlaps = (masks[:, None] & target["masks"]).sum(dim=(2, 3)) / union
        assert (overlaps * (image["labels"][:, None] == target["labels"])).amax(dim=0).min() > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != LITE])
def test_each_overfits_one_batch(name, scene):
    _, history = trained(name, scene, steps=25, rate=3e-4)
    assert sum(history[-1].values()) < 0.5 * sum(history[0].values())


def test_grids_are_those_of_torchvision(learnt, scene):
    model, _ = learnt
    stock, sizes = stock_of(model), [(128, 160)] * 3
    with torch.no_grad():
        features = model.backbone(scene[0])
        proposals, _ = stock.rpn(ImageList(scene[0], sizes), features)
        expected, _ = stock.roi_heads(features, proposals, sizes)
        actual = model(scene[0])
    assert sum(len(found["boxes"]) for found in expected) > 5
    for one, other in zip(expected, actual, strict=True):
        assert torch.equal(one["labels"] - 1, other["labels"])
        torch.testing.assert_close(one["boxes"], other["boxes"], atol=1e-3, rtol=0)
        torch.testing.assert_close(one["masks"][:, 0], other["masks"], atol=1e-4, rtol=0)


def test_boxes_with_masks_are_not_cut_at_the_padding(learnt, scene):
    """Their grids lie over all of them; a box wholly in the padding goes."""
    model, _ = learnt
    with torch.no_grad():
        whole = model(scene[0][:1])[0]
        cut = model(scene[0][:1], sizes=torch.tensor([[128, 120]]))[0]
    inside = whole["boxes"][:, 0] < 120
    assert (whole["boxes"][inside, 2] > 120).any()
    assert torch.equal(cut["boxes"], whole["boxes"][inside])
    assert torch.equal(cut["masks"], whole["masks"][inside])


@pytest.mark.parametrize("size", [(256, 320), (192, 240), (128, 160)])
def test_predictor_pastes_as_torchvision_does(learnt, scene, size):
    model, _ = learnt
    pixels = ((scene[0][0].permute(1, 2, 0).numpy() * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, (128, 160), strict=True))
    image = np.ascontiguousarray(pixels[rows][:, columns])
    metadata = metadata_of(model)
    [found] = DetectionPredictor(TorchBackend(model.export_spec(), metadata), metadata).predict([image])
    batch = torch.from_numpy(preprocess(image, model.preprocessing)[0])[None]
    assert batch.shape == (1, 3, 128, 160)
    [expected] = stock_detections(model, batch, size)
    sure = expected["scores"] > 0.3
    masks = (expected["masks"][sure, 0] > 0.5).numpy()
    assert len(masks) >= 2
    assert found.masks.shape == (len(masks), *size)
    np.testing.assert_allclose(found.boxes, expected["boxes"][sure], atol=1e-2)
    assert (found.masks ^ masks).sum() <= 1e-3 * masks.sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", [LITE, "maskrcnn_resnet18_fpn"])
def test_graph_is_dynamic_and_exact(name, scene, tmp_path):
    model, _ = trained(name, scene, steps=12, rate=3e-4)
    model.set_score_threshold(0.05)
    spec = model.export_spec()
    module = exportable(spec, metadata_of(model))
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with torch.no_grad():
        torch.onnx.export(
            module,
            (torch.randn(2, 3, 288, 416),),
            tmp_path / "model.onnx",
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_shapes=(axes,),
            dynamo=spec.dynamo,
            external_data=False,
        )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    noise = torch.rand(2, 3, 192, 96, generator=torch.Generator().manual_seed(2))
    numbers = []
    for images in (scene[0], scene[0][:1], noise, scene[0][2:]):
        with torch.no_grad():
            expected = [output.numpy() for output in module(images)]
        actual = session.run(list(spec.outputs), {"input": images.numpy()})
        assert actual[4].shape == (len(images), 100, 28, 28)
        assert np.array_equal(expected[3], actual[3])
        for image, count in enumerate(actual[3].tolist()):
            boxes, labels, masks = (expected[n][image, :count] for n in (0, 1, 4))
            distance = np.abs(boxes[:, None] - actual[0][image, :count][None]).max(-1)
            distance = distance + 1e3 * (labels[:, None] != actual[1][image, :count][None])
            partner = distance.argmin(1) if count else np.zeros(0, int)
            assert count == 0 or distance.min(1).max() < 0.05
            np.testing.assert_allclose(masks, actual[4][image, :count][partner], atol=1e-3)
            assert not actual[4][image, count:].any()
            numbers.append(count)
    assert max(numbers) >= 2
