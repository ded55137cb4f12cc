"""Rows for classification alone (specification B.3)."""

from __future__ import annotations

from automl_images.core.hyperparameters.models import (
    CLASSIFICATION,
    LITE_CLASSES,
    LITE_MULTICLASS,
    LITE_MULTILABEL,
    OUR_CLASSES,
)
from automl_images.core.hyperparameters.row import Hyperparameter

CLASSIFICATION_ROWS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "weighted_loss",
        "int",
        "Weigh classes by rarity: 0 no, 1 by the root of the weights, 2 by the weights; only where the largest class "
        "has three times the images of the smallest or more.",
        0,
        minimum=0,
        maximum=2,
        applies_to=CLASSIFICATION,
    ),
    Hyperparameter(
        "validation_resize_size",
        "int",
        "Shorter side of a validation image before the middle is cut out, pixels; not with whole_image, which cuts "
        "nothing out.",
        256,
        ((LITE_MULTILABEL, 320),),
        aliases=("valid_resize_size", "resize_size"),
        minimum=32,
        applies_to=OUR_CLASSES,
    ),
    Hyperparameter(
        "validation_crop_size",
        "int",
        "Side of the square cut out of the middle of a validation image, pixels.",
        224,
        ((LITE_MULTILABEL, 320),),
        aliases=("valid_crop_size", "crop_size"),
        minimum=32,
        applies_to=OUR_CLASSES,
    ),
    Hyperparameter(
        "training_crop_size",
        "int",
        "Side of the square that training images are cropped to, pixels.",
        224,
        ((LITE_MULTILABEL, 320),),
        aliases=("train_crop_size",),
        minimum=32,
        applies_to=OUR_CLASSES,
    ),
    Hyperparameter(
        "whole_image",
        "bool",
        "See whole images, stretched to the crop size, and train on large parts of them: nothing that is annotated is "
        "cut away.",
        False,
        ((LITE_CLASSES, True),),
        applies_to=CLASSIFICATION,
        ours=True,
    ),
    Hyperparameter(
        "freeze_batch_norm",
        "bool",
        "Keep batch norm layers as they were pretrained: few images cannot better their statistics. Without pretrained "
        "weights they are trained in any case.",
        False,
        ((LITE_MULTICLASS, True),),
        applies_to=CLASSIFICATION,
        ours=True,
    ),
)
