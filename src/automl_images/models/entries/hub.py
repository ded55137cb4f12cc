"""Networks of transformers that the service lists by name (specification C.2).

Their configs stand here, so that they are built without a network; weights come from the hub or its cache. All other
models of the hub are found by their names in `hub_names.py`.
"""

from __future__ import annotations

from typing import Any

from automl_images.models.entries.entry import register
from automl_images.models.entries.hub_names import CLASSIFIERS, DETECTORS, transformers_entry
from automl_images.models.entries.sources import torchvision_resnet
from automl_images.models.hub.config import HubFiles
from automl_images.models.weights import WeightSource

_BILINEAR, _BICUBIC = 2, 3
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": _BILINEAR}
_BEIT = {
    "model_type": "beit",
    "use_relative_position_bias": True,
    "use_absolute_position_embeddings": False,
    "use_mean_pooling": True,
}
_SWIN = {
    "model_type": "swinv2",
    "image_size": 192,
    "window_size": 12,
    "embed_dim": 128,
    "depths": [2, 2, 18, 2],
    "num_heads": [4, 8, 16, 32],
}
_CLASSIFIERS: dict[str, tuple[float, dict[str, Any], dict[str, Any]]] = {
    "microsoft/beit-base-patch16-224-pt22k-ft22k": (86, _BEIT, _HALF),
    "google/vit-base-patch16-224": (86, {"model_type": "vit"}, _HALF),
    "facebook/deit-base-patch16-224": (86, {"model_type": "vit"}, {"resample": _BICUBIC}),
    "microsoft/swinv2-base-patch4-window12-192-22k": (87, _SWIN, {"resample": _BICUBIC}),
}
"""Million parameters, config and preprocessor; what is not said is transformers' default, ImageNet's colours."""

for _name, (_millions, _config, _preprocessor) in _CLASSIFIERS.items():
    _weights = WeightSource("hub", _name, "network", "Apache-2.0", "Trained on ImageNet, new head.")
    _note = f"The {_config['model_type']} network of transformers; an image is scaled to the square without cropping."
    register(transformers_entry(_name, CLASSIFIERS, HubFiles(_config, _preprocessor), (_weights,), _note, _millions))

register(
    transformers_entry(
        "mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco",
        DETECTORS,
        HubFiles({"model_type": "deformable_detr", "two_stage": True, "with_box_refine": True}, {}),
        (torchvision_resnet(50, "network.model.backbone.model"),),
        "The Deformable DETR of transformers (arXiv:2010.04159), two stages with box refinement, on ResNet-50; its "
        "input is a square of image_size pixels. Nothing is suppressed, so nms_iou_threshold does not apply. Starts "
        "from a backbone trained on ImageNet, not from a network trained on COCO.",
        41,
    )
)
