"""The steps that a plan can be made of; importing this package registers all of them."""

from automl_images.augmentation.steps import affine, crop, expand, flip, mosaic, photometric, resize
from automl_images.augmentation.steps.base import STEPS, StepType

__all__ = ["STEPS", "StepType", "affine", "crop", "expand", "flip", "mosaic", "photometric", "resize"]
