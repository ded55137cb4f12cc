"""What is done to training images, as data: a plan that can be saved, read, looked at and changed.

Owns the plan's form and which steps suit which style of model (specification F). Leaves carrying it out to `build.py`,
and which model has which style to the catalogue.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from automl_images.augmentation.advanced_settings import AdvancedSettings
from automl_images.augmentation.steps import STEPS
from automl_images.core.errors import SettingsError, nearest

Style = Literal["crop_expand_flip", "mosaic", "random_resized_crop", "large_crop", "whole_image"]
"""What suits a model; the catalogue names the style of each."""

PREPROCESSING_NOTE = (
    "Afterwards every image is resized and normalised as its model demands; validation images get only that."
)

LEAST_PART = {"large_crop": 0.6, "whole_image": 0.9}
"""Least share of an image's area that a style trains on: of one object enough, of several none may be cut away."""

_ANY_SIZE = 32  # stands for a size that is not known yet, when parameters are checked


class Step(BaseModel):
    """A step of `STEPS` that happens with a probability.

    Attributes:
        name: in the registry.
        probability: in [0, 1].
        parameters: of the step; what is left out has the step's default, `size: null` is the model's image size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    probability: float = Field(default=1.0, ge=0, le=1)
    parameters: dict[str, Any] = {}


class OneOf(BaseModel):
    """Steps of which at most one happens; what their probabilities lack to 1 is the probability of none.

    Attributes:
        one_of: the steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    one_of: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        total = sum(step.probability for step in self.one_of)
        if total > 1 + 1e-9:
            raise ValueError(f"the probabilities of one_of must add up to at most 1, got {total:g}")
        return self


def _kind(entry: Any) -> str:
    return "one_of" if isinstance(entry, OneOf) or (isinstance(entry, dict) and "one_of" in entry) else "step"


Entry = Annotated[Annotated[Step, Tag("step")] | Annotated[OneOf, Tag("one_of")], Discriminator(_kind)]
"""One line of a plan."""


class AugmentationPlan(BaseModel):
    """What happens to a training image, in order.

    Attributes:
        version: of this form.
        training: the steps.
        preprocessing: what follows, for readers of the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    training: tuple[Entry, ...] = ()
    preprocessing: str = PREPROCESSING_NOTE

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AugmentationPlan:
        """Return the plan that `as_dict` described, or that a person wrote.

        Raises:
            SettingsError: unknown key, step or parameter, or a value out of range.
        """
        try:
            plan = cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(f"The augmentation plan is not valid: {_first(error)}.") from error
        for step in plan.steps():
            step_parameters(step, image_size=_ANY_SIZE)
        return plan

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values for YAML or JSON."""
        return self.model_dump(mode="json")

    def steps(self) -> Iterator[Step]:
        """Yield all steps, also those inside `one_of`."""
        for entry in self.training:
            yield from entry.one_of if isinstance(entry, OneOf) else (entry,)

    def describe(self) -> str:
        """Return one line for people, such as `crop 25 % or expand 25 %, horizontal flip 50 %`."""
        parts = []
        for entry in self.training:
            steps = entry.one_of if isinstance(entry, OneOf) else (entry,)
            parts.append(" or ".join(_in_words(step) for step in steps))
        return ", ".join(parts) or "no augmentation"


def augmentation_plan(
    style: Style, advanced_settings: Mapping[str, Any] | None = None, image_size: int | None = None
) -> AugmentationPlan:
    """Return the plan of a style (specification F).

    Args:
        style: that suits the model, as the catalogue says.
        advanced_settings: the hyper-parameter. `apply_automl_train_augmentations` switches off all but mosaic,
            `apply_mosaic_for_yolo` mosaic only. In the service the former has no effect on classification; here it
            gives an empty plan, and training images are preprocessed as validation images are.
        image_size: side of the model's square input, pixels, for `mosaic` and `random_resized_crop`; None: to be
            filled in by `build`.

    Raises:
        SettingsError: unknown style, or unknown key of `advanced_settings`.
    """
    if style not in _STYLES:
        raise SettingsError(f"Unknown augmentation style {style!r}.{nearest(style, _STYLES)} Known: {list(_STYLES)}.")
    steps = _STYLES[style](AdvancedSettings.from_dict(advanced_settings), image_size)
    return AugmentationPlan(training=tuple(steps))


def step_parameters(step: Step, image_size: int | None) -> Any:
    """Return the checked parameters of a step.

    Args:
        step: of a plan.
        image_size: stands in for a `size` that is null.

    Raises:
        SettingsError: unknown step or parameter, wrong value, or a `size` that nobody gave.
    """
    kind = STEPS.get(step.name)
    given = dict(step.parameters)
    if "size" in kind.parameters.model_fields and given.get("size") is None:
        if image_size is None:
            raise SettingsError(f"The augmentation step {step.name} needs a size in pixels; none was given.")
        given["size"] = image_size
    try:
        return kind.parameters.model_validate(given)
    except ValidationError as error:
        hint = "".join(
            nearest(key, kind.parameters.model_fields) for key in given if key not in kind.parameters.model_fields
        )
        raise SettingsError(f"Parameters of the augmentation step {step.name}: {_first(error)}.{hint}") from error


def _crop_expand_flip(settings: AdvancedSettings, image_size: int | None) -> list[Step | OneOf]:
    if not settings.apply_automl_train_augmentations:
        return []
    zoom = OneOf(one_of=(_step("random_crop_containing_boxes", 0.25), _step("random_expand", 0.25)))
    return [zoom, _step("horizontal_flip", 0.5)]


def _mosaic(settings: AdvancedSettings, image_size: int | None) -> list[Step | OneOf]:
    steps: list[Step | OneOf] = [_step("resize_longest_side", 1, size=image_size)]
    if settings.apply_mosaic_for_yolo:
        steps.append(_step("mosaic", 1, size=image_size))
    if settings.apply_automl_train_augmentations:
        steps += [_step("random_affine", 1, size=image_size), _step("horizontal_flip", 0.5)]
    elif settings.apply_mosaic_for_yolo:
        steps.append(_step("centre_crop", 1, size=image_size))
    return steps if len(steps) > 1 else []


def _random_resized_crop(settings: AdvancedSettings, image_size: int | None) -> list[Step | OneOf]:
    if not settings.apply_automl_train_augmentations:
        return []
    return [
        _step("random_resized_crop", 1, size=image_size),
        _step("horizontal_flip", 0.5),
        _step("colour_jitter", 0.5),
    ]


def _large_crop(settings: AdvancedSettings, image_size: int | None, least: float) -> list[Step | OneOf]:
    return [
        step.model_copy(update={"parameters": {**step.parameters, "minimum_scale": least}})
        if isinstance(step, Step) and step.name == "random_resized_crop"
        else step
        for step in _random_resized_crop(settings, image_size)
    ]


_STYLES: dict[str, Callable[[AdvancedSettings, int | None], list[Step | OneOf]]] = {
    "crop_expand_flip": _crop_expand_flip,
    "mosaic": _mosaic,
    "random_resized_crop": _random_resized_crop,
    **{style: functools.partial(_large_crop, least=least) for style, least in LEAST_PART.items()},
}


def _step(name: str, probability: float, **parameters: Any) -> Step:
    """Return a step with all its parameters written out, so that a plan's file shows every number."""
    fields = STEPS.get(name).parameters.model_fields.items()
    defaults = {
        key: list(f.default) if isinstance(f.default, tuple) else f.default for key, f in fields if key != "size"
    }
    return Step(name=name, probability=probability, parameters={**parameters, **defaults})


def _in_words(step: Step) -> str:
    title = STEPS.get(step.name).title
    return title if step.probability == 1 else f"{title} {100 * step.probability:.3g} %"


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place}: {detail['msg']}, got {detail['input']!r}" if place else detail["msg"]
