"""The steps that a plan can be made of; importing this package registers all of them."""

from automl_images.augmentation.steps import affine, colour, crop, expand, flip, mosaic, resize, resized_crop
from automl_images.augmentation.steps.base import STEPS, StepType

__all__ = ["STEPS", "StepType", "affine", "colour", "crop", "expand", "flip", "mosaic", "resize", "resized_crop"]
