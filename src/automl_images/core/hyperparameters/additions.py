"""Rows that are additions to the service's list."""

from __future__ import annotations

from automl_images.core.hyperparameters.general import HUB, LITE_OBJECTS, YOLOV5
from automl_images.core.hyperparameters.row import CLASSIFICATION, Hyperparameter

VIT = "*/vit*r224"

ADDITIONS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "ema",
        "bool",
        "Evaluate and keep the moving average of the weights.",
        False,
        ((YOLOV5, True), (LITE_OBJECTS, True)),
        ours=True,
    ),
    Hyperparameter(
        "mixed_precision",
        "choice",
        "Arithmetic of training; auto: bf16 or fp16 where the device has it, off on CPU.",
        "auto",
        choices=("auto", "no", "fp16", "bf16"),
        ours=True,
    ),
    Hyperparameter("weights", "text", "File of weights to start from; not set: the catalogue's.", None, ours=True),
    Hyperparameter("compile", "bool", "Compile the network with torch.compile.", False, ours=True),
    Hyperparameter(
        "gradient_clip_type",
        "choice",
        "Clip gradients by value or by norm.",
        "value",
        ((LITE_OBJECTS, "norm"), (VIT, "norm"), (HUB, "norm")),
        aliases=("grad_clip_type",),
        choices=("value", "norm"),
        ours=True,
    ),
    Hyperparameter(
        "gradient_clip",
        "float",
        "Bound of the clipped gradient.",
        5.0,
        ((LITE_OBJECTS, 2.0), (VIT, 1.0), (HUB, 1.0)),
        minimum=0,
        ours=True,
    ),
    Hyperparameter(
        "layer_decay",
        "float",
        "Factor of the learning rate from a layer group to the one before it; 1: all learn alike.",
        1.0,
        minimum=0,
        maximum=1,
        ours=True,
    ),
    Hyperparameter(
        "label_smoothing",
        "float",
        "Share of a label that is spread over all classes in the training loss.",
        0.0,
        (("image_classification/apple/mobilevit-*", 0.1),),
        minimum=0,
        maximum=1,
        open_maximum=True,
        applies_to=CLASSIFICATION,
        ours=True,
    ),
    Hyperparameter(
        "mixup",
        "float",
        "Blend training images in pairs, shares from Beta(mixup, mixup); 0: no.",
        0.0,
        minimum=0,
        applies_to=CLASSIFICATION,
        ours=True,
    ),
    Hyperparameter(
        "cutmix",
        "float",
        "Paste a rectangle of another training image, area from Beta(cutmix, cutmix); 0: no. With mixup: in turn.",
        0.0,
        minimum=0,
        applies_to=CLASSIFICATION,
        ours=True,
    ),
    Hyperparameter(
        "soup",
        "int",
        "Average the weights of up to so many of the best epochs where that is better; 1: the best epoch alone.",
        1,
        minimum=1,
        maximum=10,
        ours=True,
    ),
)
