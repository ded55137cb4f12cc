"""Recipes: configurations that measured well, with what data and hardware they suit and where to search around them.

The portfolio is data (`conf/base/parameters_portfolio.yml`), written by `benchmarks/portfolio.py` from what it
measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from automl_images.core.errors import SettingsError
from automl_images.core.options import Options
from automl_images.sweep.space import SearchSpace

Hardware = Literal["cpu", "small_gpu", "large_gpu"]
LARGE_GPU_BYTES = 20 * 1024**3


@dataclasses.dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of the data before anything is trained.

    Attributes:
        training_images, validation_images, classes: counts.
        image_side: median of the longer sides, in pixels; 0: unknown.
        object_side: median of the roots of the boxes' areas, in pixels; 0: unknown, or a task without objects.
    """

    training_images: int
    validation_images: int
    classes: int
    image_side: float = 0.0
    object_side: float = 0.0


class Conditions(Options):
    """Data that a recipe is for; a bound that is not given always holds."""

    images_from: int = Field(default=0, ge=0, description="least training images")
    images_below: int | None = Field(default=None, description="training images, excluded")
    classes_from: int = Field(default=0, ge=0)
    classes_below: int | None = Field(default=None, description="classes, excluded")
    object_side_below: float | None = Field(default=None, description="median side of objects in pixels, excluded")
    image_side_from: float = Field(default=0.0, ge=0, description="median longer side of images in pixels")

    def hold(self, facts: DataFacts) -> bool:
        """Tell whether the data is of that kind."""
        return (
            facts.training_images >= self.images_from
            and (self.images_below is None or facts.training_images < self.images_below)
            and facts.classes >= self.classes_from
            and (self.classes_below is None or facts.classes < self.classes_below)
            and facts.image_side >= self.image_side_from
            and (self.object_side_below is None or 0 < facts.object_side < self.object_side_below)
        )


class Recipe(Options):
    """One configuration to try.

    Attributes:
        name: shown to people.
        hardware: classes of machines that it is for.
        when: data that it is for.
        hyperparameters: `model_name` and what differs from its defaults.
        search: distributions, in the grammar of a search space, in which to search around it later; the recipe's own
            value is the first that is tried.
    """

    name: str
    hardware: tuple[Hardware, ...] = ("cpu", "small_gpu", "large_gpu")
    when: Conditions = Conditions()
    hyperparameters: dict[str, Any]
    search: dict[str, Any] = Field(default_factory=dict)


def parse_portfolio(path: str, given: Sequence[Mapping[str, Any]] | None) -> list[Recipe]:
    """Return the recipes of a task, best first.

    Args:
        path: where they stand, for messages.
        given: their plain values.

    Raises:
        SettingsError: a key is unknown or missing; the message holds its path.
    """
    try:
        recipes = TypeAdapter(list[Recipe]).validate_python(given or [])
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join([path, *(str(part) for part in mistake["loc"])])
        raise SettingsError(f"{where}: {mistake['msg']}, got {mistake['input']!r}") from None
    for recipe in recipes:
        _check(f"{path}.{recipe.name}", recipe)
    return recipes


def held(search: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a search holds the value that is given: a search begins there, so it has to be within.

    Raises:
        SettingsError: a distribution is not legal; the message holds its path in `search_space[0]`.
    """
    if not search:
        return {}
    sampled = SearchSpace.parse([search]).branches[0].sampled
    return {name: search[name] for name in search if name in values and sampled[name].holds(values[name])}


def _check(path: str, recipe: Recipe) -> None:
    missing = {"model_name", *recipe.search} - set(recipe.hyperparameters)
    if missing:
        raise SettingsError(f"{path}.hyperparameters has no {', '.join(sorted(missing))}.")
    try:
        within = held(recipe.search, recipe.hyperparameters)
    except SettingsError as error:
        raise SettingsError(str(error).replace("search_space[0]", f"{path}.search", 1)) from None
    for name in sorted(recipe.search.keys() - within.keys()):
        raise SettingsError(
            f"{path}.search.{name} does not hold the recipe's own value, {recipe.hyperparameters[name]!r}, "
            "where the search begins. Widen the distribution."
        )


def hardware_class() -> Hardware:
    """Return the kind of this machine by the memory of its first GPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    return "large_gpu" if torch.cuda.get_device_properties(0).total_memory >= LARGE_GPU_BYTES else "small_gpu"
