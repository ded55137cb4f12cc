"""MMDetection's names for `object_detection` that run our own networks, written from the papers (specification C.2)."""

from __future__ import annotations

from automl_images.models.entries.detection import DETECTION
from automl_images.models.entries.entry import ModelEntry, register
from automl_images.models.entries.sources import BODY, torchvision_resnet
from automl_images.models.weights import WeightSource

_START = "Starts from a backbone trained on ImageNet, not from a network trained on COCO."
_ORDINARY = (
    "The backbone has ordinary convolutions in place of deformable ones (mdconv); "
    "the head's star-shaped ones are there."
)

_RESNEXT = WeightSource(
    "torchvision", "ResNeXt101_64X4D_Weights.IMAGENET1K_V1", BODY, "BSD-3-Clause", "Backbone trained on ImageNet."
)


def _register(
    name: str, builder: str, backbone: str, source: WeightSource, head: str, millions: float, note: str
) -> None:
    register(
        ModelEntry(
            name=f"mmd-3x-{name}",
            tasks=DETECTION,
            family=builder.partition(":")[0],
            augmentation_style="crop_expand_flip",
            licence="MIT",
            builder=f"automl_images.models.{builder}",
            options={"backbone": backbone},
            sources=(source,),
            heads=(head,),
            frozen_groups=2,
            frozen_norms=True,
            million_parameters=millions,
            note=f"{note} {_START}",
        )
    )


for _depth, _size in ((50, 106), (101, 125)):
    _register(
        f"sparse-rcnn_r{_depth}_fpn_300-proposals_crop-ms-480-800-3x_coco",
        "sparse_rcnn:build_sparse_rcnn",
        f"resnet{_depth}",
        torchvision_resnet(_depth, BODY),
        "classifiers.",
        _size,
        f"Our Sparse R-CNN (arXiv:2011.12450) on torchvision's ResNet-{_depth}; proposals are shares of the padded "
        "image, losses are the mean of the six stages. Nothing is suppressed, so nms_iou_threshold does not apply.",
    )

_register(
    "yolof_r50_c5_8x8_1x_coco",
    "yolof:build_yolof",
    "resnet50",
    torchvision_resnet(50, BODY),
    "decoder.class_logits.",
    42,
    "Our YOLOF (arXiv:2103.09460) on torchvision's ResNet-50; encoder and decoder have group norm in place of batch "
    "norm, which needs larger batches, and objects are matched with the nearest anchors alone.",
)

for _name, _backbone, _source, _size in (
    ("vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco", "resnet50", torchvision_resnet(50, BODY), 32),
    ("vfnet_x101-64x4d-mdconv-c3-c5_fpn_ms-2x_coco", "resnext101_64x4d", _RESNEXT, 90),
):
    _register(
        _name,
        "vfnet:build_vfnet",
        _backbone,
        _source,
        "head.class_logits.",
        _size,
        f"Our VarifocalNet (arXiv:2008.13367) on torchvision's {_backbone}. {_ORDINARY}",
    )
