"""Networks for `object_detection`."""

from __future__ import annotations

from automl_images.models.entries.entry import ModelEntry, register
from automl_images.models.entries.sources import BODY, efficientnet_lite0, torchvision_coco, torchvision_resnet

DETECTION = ("object_detection",)

_MILLIONS = {18: 28, 34: 38, 50: 41, 101: 60, 152: 76}
_DETECTORS = {50: (torchvision_coco("FasterRCNN_ResNet50_FPN_Weights.COCO_V1"),)}

for _depth, _size in _MILLIONS.items():
    register(
        ModelEntry(
            name=f"fasterrcnn_resnet{_depth}_fpn",
            tasks=DETECTION,
            family="rcnn",
            augmentation_style="crop_expand_flip",
            licence="BSD-3-Clause",
            builder="automl_images.models.rcnn:build_resnet",
            options={"backbone": f"resnet{_depth}"},
            sources=(*_DETECTORS.get(_depth, ()), torchvision_resnet(_depth, BODY)),
            heads=("roi_heads.box_predictor.",),
            frozen_groups=2,
            frozen_norms=True,
            million_parameters=_size,
        )
    )

register(
    ModelEntry(
        name="retinanet_resnet50_fpn",
        tasks=DETECTION,
        family="retinanet",
        augmentation_style="crop_expand_flip",
        licence="BSD-3-Clause",
        builder="automl_images.models.retinanet:build_retinanet",
        sources=(torchvision_coco("RetinaNet_ResNet50_FPN_Weights.COCO_V1"), torchvision_resnet(50, BODY)),
        heads=("head.classification_head.cls_logits.",),
        frozen_groups=2,
        frozen_norms=True,
        million_parameters=32,
    )
)

register(
    ModelEntry(
        name="fasterrcnn_efficientnet_lite0_fpn",
        tasks=DETECTION,
        family="rcnn",
        augmentation_style="crop_expand_flip",
        licence="Apache-2.0",
        builder="automl_images.models.rcnn:build_lite",
        sources=efficientnet_lite0(BODY),
        heads=("roi_heads.box_predictor.",),
        frozen_groups=2,
        frozen_norms=True,
        million_parameters=6,
    )
)

register(
    ModelEntry(
        name="yolov5",
        tasks=DETECTION,
        family="yolo",
        augmentation_style="mosaic",
        licence="MIT",
        builder="automl_images.models.yolov5.model:build_yolov5",
        heads=("graph.network.head.", "random_size."),
        million_parameters=21,
    )
)
