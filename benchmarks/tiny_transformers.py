"""Tiny networks of transformers in folders, as `save_pretrained` writes them: what a model of the hub is, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 64
_ATTENTION = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 20,
    "dropout": 0.0,
}
_FAST = {
    **_ATTENTION,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [24, 32, 40],
    "decoder_in_channels": [32, 32, 32],
    "num_denoising": 10,
}
_STAGES = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1], "layer_type": "basic"}
_UPPER = ["stage2", "stage3", "stage4"]
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 16,
}
_SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2], "window_size": 4, "image_size": SIDE}
_MASKS = {
    **dict.fromkeys(
        ("feature_size", "mask_feature_size", "hidden_dim", "encoder_feedforward_dim", "dim_feedforward"), 32
    ),
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "num_queries": 20,
    "train_num_points": 256,
}
_HGNET = {
    "stem_channels": [3, 8, 16],
    "hidden_sizes": [16, 24, 32, 40],
    "stage_in_channels": [16, 16, 24, 32],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 24, 32, 40],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
    "out_features": _UPPER,
}
_OTHER_HEADS: dict[str, dict[str, Any]] = {
    "levit": {
        "image_size": SIDE,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [2] * 3,
        "depths": [1] * 3,
        "key_dim": [8] * 3,
    },
    "hgnet_v2": {**_HGNET, "embedding_size": 8},
    "textnet": {"stem_out_channels": 8, "hidden_sizes": [8, 8, 16, 16, 32], "image_size": [SIDE] * 2},
    "pvt": {
        "image_size": SIDE,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1] * 4,
        "num_attention_heads": [1, 2, 2, 2],
    },
    "swiftformer": {"embed_dims": [8, 16, 24, 32], "depths": [1] * 4},
}
"""Classifiers whose last layers have other names than `classifier`, or (PVT) go by `num_labels`."""
_ARCHITECTURES = {"levit": ("LevitForImageClassificationWithTeacher",)}


def config_of(kind: str) -> Any:
    """Return a tiny config of a type of models, with five classes."""
    if kind in _OTHER_HEADS:
        return _of_five_classes(transformers.CONFIG_MAPPING[kind](**_OTHER_HEADS[kind]), _ARCHITECTURES.get(kind, ()))
    t = transformers
    made = {
        "detr": lambda: t.DetrConfig(backbone_config=t.ResNetConfig(**_STAGES, out_features=["stage4"]), **_ATTENTION),
        "deformable_detr": lambda: t.DeformableDetrConfig(
            backbone_config=t.ResNetConfig(**_STAGES, out_features=_UPPER),
            two_stage=True,
            with_box_refine=True,
            two_stage_num_proposals=20,
            **{**_ATTENTION, "d_model": 64},
        ),
        "rt_detr": lambda: t.RTDetrConfig(backbone_config=_fast_resnet(), **_FAST),
        "rt_detr_v2": lambda: t.RTDetrV2Config(backbone_config=_fast_resnet(), **_FAST),
        "d_fine": lambda: t.DFineConfig(backbone_config=t.HGNetV2Config(**_HGNET), **_FAST),
        "mask2former": lambda: t.Mask2FormerConfig(
            backbone_config=t.SwinConfig(**_SWIN, out_features=["stage1", *_UPPER]), **_MASKS
        ),
        "maskformer": lambda: t.MaskFormerConfig(
            backbone_config=t.SwinConfig(**_SWIN),
            decoder_config=t.DetrConfig(**_ATTENTION),
            fpn_feature_size=32,
            mask_feature_size=32,
        ),
        "vit": lambda: t.ViTConfig(**_VIT),
        "deit": lambda: t.DeiTConfig(**_VIT),
        "beit": lambda: t.BeitConfig(**_VIT, use_relative_position_bias=True),
        "swinv2": lambda: t.Swinv2Config(**{**_SWIN, "num_heads": [2] * 4, "window_size": 2}),
        "convnext": lambda: t.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
        "resnet": lambda: t.ResNetConfig(**_STAGES),
        "mobilevit": lambda: t.MobileViTConfig(
            image_size=SIDE,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
            num_attention_heads=2,
        ),
    }[kind]()
    return _of_five_classes(made)


def _of_five_classes(made: Any, architectures: tuple[str, ...] = ()) -> Any:
    made.num_labels = 5
    made.architectures = list(architectures)
    return made


def _fast_resnet() -> Any:
    return transformers.RTDetrResNetConfig(**_STAGES, out_features=_UPPER)


AUTO = {
    "image_classification": "AutoModelForImageClassification",
    "object_detection": "AutoModelForObjectDetection",
    "instance_segmentation": "AutoModelForUniversalSegmentation",
}


def save_tiny(kind: str, task: str, folder: Path, seed: int = 0) -> Any:
    """Save a tiny network of a type with random weights, as the hub has them, and return it."""
    torch.manual_seed(seed)
    network = getattr(transformers, AUTO[task]).from_config(config_of(kind))
    _settle_norms(network)
    network.save_pretrained(folder)
    return network


def _settle_norms(network: Any) -> None:
    """Give batch norm that rests the statistics of its input for noise, as pretrained networks have those of images.

    With a mean of 0 and a variance of 1 small random weights would let every signal vanish.
    """

    def settle(module: Any, inputs: tuple[torch.Tensor]) -> None:
        module.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        module.running_var.copy_(inputs[0].var((0, 2, 3)))

    resting = [module for module in network.modules() if type(module).__name__.endswith("FrozenBatchNorm2d")]
    hooks = [module.register_forward_pre_hook(settle) for module in resting]
    if resting:
        with torch.no_grad():
            network.eval()(pixel_values=torch.rand(8, 3, 2 * SIDE, 2 * SIDE))
    for hook in hooks:
        hook.remove()
