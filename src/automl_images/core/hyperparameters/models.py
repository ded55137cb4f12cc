"""The groups of models that rows of the table speak of, in words and as patterns.

A model of the catalogue is known by its name, one of the hub by `org/name`, and one of a folder by what its config.json
says of it: the hub name it was copied from, else its type. A folder's own name says nothing. What else a config means
is `models/hub/config.py`'s.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from fnmatch import fnmatchcase
from pathlib import Path

from automl_images.core.files import read_json

FOLDER = "."
"""Stands in patterns where a hub name has its organisation: `./vit` is any folder with a ViT."""

_REGISTRY_NAME = re.compile(r"(microsoft|google|facebook|apple)-((?:beit|vit|deit|swinv2|mobilevit)-.+)")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Models:
    """A group of models.

    Attributes:
        words: for people, in messages and documentation.
        patterns: of `task`, `task/model`, `task/org/name` or `task/./type`; a star stays within its part, and a pattern
            of a task alone fits all its models.
    """

    words: str
    patterns: tuple[str, ...]

    def include(self, task: str, model_name: str) -> bool:
        """Tell whether a model of a task belongs to the group."""
        key = (task, *_parts(model_name))
        return any(_fits(key, tuple(pattern.split("/"))) for pattern in self.patterns)


def hub_spelling(model_name: str) -> str:
    """Return the name at the hub of a model in the spelling of the service's registry, which has a dash for the slash.

    Any other name is returned as it is (specification C.2).
    """
    match = _REGISTRY_NAME.fullmatch(model_name)
    return f"{match[1]}/{match[2]}" if match else model_name


def _fits(key: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(pattern) in (1, len(key)) and all(map(fnmatchcase, key, pattern))


def _parts(model_name: str) -> tuple[str, ...]:
    if "/" not in model_name:
        return (model_name,)
    config = Path(model_name).expanduser() / "config.json"
    if config.is_file():
        return _of_config(config, config.stat().st_mtime_ns)
    return tuple(model_name.split("/")) if _HUB_NAME.fullmatch(model_name) else (FOLDER, "")


@functools.lru_cache(maxsize=64)
def _of_config(config: Path, changed: int) -> tuple[str, ...]:
    """Read what a folder holds; `changed` makes that a file written anew is read anew."""
    try:
        values = read_json(config)
    except ValueError:  # models/hub/config.py says so before anything is built
        return (FOLDER, "")
    values = values if isinstance(values, dict) else {}
    origin = str(values.get("_name_or_path") or "")
    return tuple(origin.split("/")) if _HUB_NAME.fullmatch(origin) else (FOLDER, str(values.get("model_type")))


ALL = Models("all", ("*",))
CLASSIFICATION = Models("classification", ("image_classification*",))
OUR_CLASSES = Models(
    "classifiers of the catalogue; those of the hub bring their own size", ("image_classification*/*",)
)
MULTICLASS = Models("multi-class classification", ("image_classification",))
MULTILABEL = Models("multi-label classification", ("image_classification_multilabel",))
OBJECTS = Models("object detection and instance segmentation", ("object_detection", "instance_segmentation"))
SEGMENTATION = Models("instance segmentation", ("instance_segmentation",))

YOLOV5 = Models("yolov5", ("*/yolov5",))
LITE_CLASSES = Models("efficientnet_lite0", ("*/efficientnet_lite0",))
LITE_MULTICLASS = Models("efficientnet_lite0 with one label an image", ("image_classification/efficientnet_lite0",))
LITE_MULTILABEL = Models(
    "efficientnet_lite0 with several labels an image", ("image_classification_multilabel/efficientnet_lite0",)
)
LITE_OBJECTS = Models("fasterrcnn and maskrcnn on efficientnet_lite0", ("*/*rcnn_efficientnet_lite0_fpn",))
LITE_MASKS = Models("maskrcnn_efficientnet_lite0_fpn", ("*/maskrcnn_efficientnet_lite0_fpn",))
VITS = Models("vits16r224", ("*/vits16r224",))
VITB = Models("vitb16r224", ("*/vitb16r224",))
VITL = Models("vitl16r224", ("*/vitl16r224",))
VIT = Models("vits16r224, vitb16r224, vitl16r224", ("*/vit[sbl]16r224",))
SMALLER_VIT = ("vits16r224 and vitb16r224", "vit[sb]16r224")
VIT_MULTICLASS = Models(f"multi-class {SMALLER_VIT[0]}", (f"image_classification/{SMALLER_VIT[1]}",))
VIT_MULTILABEL = Models(f"multi-label {SMALLER_VIT[0]}", (f"image_classification_multilabel/{SMALLER_VIT[1]}",))
VITL_MULTICLASS = Models("multi-class vitl16r224", ("image_classification/vitl16r224",))
VITL_MULTILABEL = Models("multi-label vitl16r224", ("image_classification_multilabel/vitl16r224",))

MMD = Models("mmd-3x-… models", ("*/mmd-3x-*",))
MMD_DETECTION = Models("mmd-3x-… detectors", ("object_detection/mmd-3x-*",))
MMD_MASKS = Models("mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco", ("*/mmd-3x-mask-rcnn_swin*",))
HUB = Models("models of the hub or of a folder", ("*/*/*",))
HUB_CLASSES = Models("classifiers of the hub or of a folder", ("image_classification*/*/*",))
VIT_HUB = Models("google/vit-… and folders with a ViT", ("image_classification*/google/vit-*", "*/./vit"))
BEIT_HUB = Models("microsoft/beit-… and folders with a BEiT", ("*/microsoft/beit-*", "*/./beit"))
SWIN_HUB = Models("microsoft/swin… and folders with a Swin", ("*/microsoft/swin*", "image_classification*/./swin*"))
DEIT_HUB = Models("facebook/deit-… and folders with a DeiT", ("*/facebook/deit-*", "*/./deit"))
MOBILEVIT_HUB = Models("apple/mobilevit-… and folders with a MobileViT", ("*/apple/mobilevit-*", "*/./mobilevit"))
MOBILEVIT_MULTICLASS = Models(
    "apple/mobilevit-… and folders with a MobileViT, multi-class",
    ("image_classification/apple/mobilevit-*", "image_classification/./mobilevit"),
)
DETR_HUB = Models(
    "DETR and Deformable DETR of the hub or of a folder",
    ("*/facebook/detr-*", "*/SenseTime/deformable-detr*", "*/./detr", "*/./deformable_detr"),
)
SQUARE = Models(
    "yolov5, models of the hub or of a folder, and the mmd-3x-… models of Deformable DETR and Swin",
    (
        "*/yolov5",
        "object_detection/*/*",
        "instance_segmentation/*/*",
        "*/mmd-3x-deformable-detr*",
        "*/mmd-3x-mask-rcnn_swin*",
    ),
)
"""Models whose images become a square of image_size."""

SIDES = Models(
    "fasterrcnn_…, retinanet_…, maskrcnn_… and the mmd-3x-… models of Sparse R-CNN, VFNet and YOLOF",
    (
        "*/fasterrcnn_*",
        "*/retinanet_*",
        "*/maskrcnn_*",
        "*/mmd-3x-sparse-rcnn*",
        "*/mmd-3x-vfnet*",
        "*/mmd-3x-yolof*",
    ),
)
"""Models whose images keep their shape, between min_size and max_size."""

LIMITED = Models("all that find objects but yolov5", (*SIDES.patterns, *SQUARE.patterns[1:]))
"""Models that return at most box_detections_per_image."""

SUPPRESSING = Models(
    "yolov5, fasterrcnn_…, retinanet_…, maskrcnn_… and the mmd-3x-… models of VFNet, YOLOF and Swin; the others find "
    "each object once and suppress nothing",
    (
        "*/yolov5",
        "*/fasterrcnn_*",
        "*/retinanet_*",
        "*/maskrcnn_*",
        "*/mmd-3x-vfnet*",
        "*/mmd-3x-yolof*",
        "*/mmd-3x-mask-rcnn_swin*",
    ),
)
"""Models that drop the worse of two boxes of one object."""

MASK_RCNN = Models(
    "maskrcnn_… and mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco", ("*/maskrcnn_*", "*/mmd-3x-mask-rcnn_swin*")
)
"""Models with the mask head of Mask R-CNN."""
