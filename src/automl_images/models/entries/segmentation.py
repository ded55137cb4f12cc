"""Networks for `instance_segmentation`."""

from __future__ import annotations

from automl_images.models.entries.entry import ModelEntry, register
from automl_images.models.entries.sources import BODY, efficientnet_lite0, torchvision_coco, torchvision_resnet
from automl_images.models.weights import WeightSource

SEGMENTATION = ("instance_segmentation",)
HEADS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")

_MILLIONS = {18: 31, 34: 41, 50: 44, 101: 63, 152: 79}
_WHOLE = {50: (torchvision_coco("MaskRCNN_ResNet50_FPN_Weights.COCO_V1"),)}

for _depth, _size in _MILLIONS.items():
    register(
        ModelEntry(
            name=f"maskrcnn_resnet{_depth}_fpn",
            tasks=SEGMENTATION,
            family="rcnn",
            augmentation_style="crop_expand_flip",
            licence="BSD-3-Clause",
            builder="automl_images.models.rcnn:build_resnet",
            options={"backbone": f"resnet{_depth}", "masks": True},
            sources=(*_WHOLE.get(_depth, ()), torchvision_resnet(_depth, BODY)),
            heads=HEADS,
            frozen_groups=2,
            frozen_norms=True,
            million_parameters=_size,
        )
    )

register(
    ModelEntry(
        name="maskrcnn_efficientnet_lite0_fpn",
        tasks=SEGMENTATION,
        family="rcnn",
        augmentation_style="crop_expand_flip",
        licence="Apache-2.0",
        builder="automl_images.models.rcnn:build_lite",
        options={"masks": True},
        sources=efficientnet_lite0(BODY),
        heads=HEADS,
        frozen_groups=2,
        frozen_norms=True,
        million_parameters=6,
    )
)

register(
    ModelEntry(
        name="mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
        tasks=SEGMENTATION,
        family="rcnn",
        augmentation_style="crop_expand_flip",
        licence="BSD-3-Clause",
        builder="automl_images.models.swin_rcnn:build_swin",
        sources=(
            WeightSource(
                "torchvision", "Swin_T_Weights.IMAGENET1K_V1", BODY, "BSD-3-Clause", "Backbone trained on ImageNet."
            ),
        ),
        heads=HEADS,
        million_parameters=47,
        note="torchvision's Mask R-CNN on its Swin-T; its input is a square of image_size pixels. Starts from a "
        "backbone trained on ImageNet, not from a network trained on COCO.",
    )
)
