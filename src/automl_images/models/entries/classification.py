"""Networks for `image_classification` and `image_classification_multilabel`.

Hub weights are named with their recipe, so that another version of timm does not start from others.
"""

from __future__ import annotations

from automl_images.models.entries.entry import ModelEntry, register
from automl_images.models.entries.sources import efficientnet_lite0, torchvision_resnet
from automl_images.models.weights import WeightSource

CLASSIFICATION = ("image_classification", "image_classification_multilabel")
_NETWORK = "network"
_IMAGENET = "Trained on ImageNet, new head."


def _timm(repository: str) -> WeightSource:
    return WeightSource("timm", f"timm/{repository}", _NETWORK, "Apache-2.0", _IMAGENET)


def _register(
    name: str,
    timm_name: str,
    builder: str,
    head: str,
    millions: float,
    sources: tuple[WeightSource, ...],
    frozen_groups: int = 0,
) -> None:
    register(
        ModelEntry(
            name=name,
            tasks=CLASSIFICATION,
            family="timm",
            augmentation_style="random_resized_crop",
            licence="Apache-2.0",
            builder=f"automl_images.models.classifiers:{builder}",
            options={"timm_name": timm_name},
            sources=sources,
            heads=(f"{_NETWORK}.{head}.",),
            frozen_groups=frozen_groups,
            million_parameters=millions,
        )
    )


_MOBILENET = WeightSource(
    "torchvision", "MobileNet_V2_Weights.IMAGENET1K_V1", _NETWORK, "BSD-3-Clause", _IMAGENET, by_order=True
)
_register(
    "mobilenetv2",
    "mobilenetv2_100",
    "build_mobilenet",
    "classifier",
    2.2,
    (_timm("mobilenetv2_100.ra_in1k"), _MOBILENET),
)

for _depth, _millions in {18: 11, 34: 21, 50: 24, 101: 43, 152: 58}.items():
    _name, _recipe = f"resnet{_depth}", "a1_in1k" if _depth <= 50 else "a1h_in1k"
    _sources = (torchvision_resnet(_depth, _NETWORK), _timm(f"{_name}.{_recipe}"))
    _register(_name, _name, "build_resnet", "fc", _millions, _sources)

for _name, _timm_name, _millions in (("resnest50", "resnest50d", 25), ("resnest101", "resnest101e", 46)):
    _register(_name, _timm_name, "build_resnet", "fc", _millions, (_timm(f"{_timm_name}.in1k"),))

_register("seresnext", "seresnext50_32x4d", "build_seresnext", "fc", 26, (_timm("seresnext50_32x4d.racm_in1k"),))

for _name, _size, _recipe, _millions in (
    ("vits16r224", "small", "augreg_in21k_ft_in1k", 22),
    ("vitb16r224", "base", "augreg2_in21k_ft_in1k", 86),
    ("vitl16r224", "large", "augreg_in21k_ft_in1k", 303),
):
    _timm_name = f"vit_{_size}_patch16_224"
    _register(_name, _timm_name, "build_vit", "head", _millions, (_timm(f"{_timm_name}.{_recipe}"),))

_register(
    "efficientnet_lite0",
    "tf_efficientnet_lite0",
    "build_lite",
    "classifier",
    3.4,
    efficientnet_lite0(_NETWORK),
    frozen_groups=4,
)
