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
from automl_images.core.hyperparameters import canonical, find
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
    return [_checked(f"{path}.{recipe.name}", recipe) for recipe in recipes]


def held(search: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the distributions that hold the value that is given: a search begins there, so it has to be within.

    Args:
        search: distributions by canonical name.
        values: parsed, by canonical name.
    """
    sampled = SearchSpace.parse([search]).branches[0].sampled if search else {}
    return {name: search[name] for name, d in sampled.items() if name in values and d.holds(values[name])}


def _checked(path: str, recipe: Recipe) -> Recipe:
    """Return a recipe with canonical names and parsed values."""
    try:
        values = canonical(recipe.hyperparameters)
    except SettingsError as error:
        raise SettingsError(f"{path}.hyperparameters: {error}") from None
    try:
        SearchSpace.parse([recipe.search] if recipe.search else [])
    except SettingsError as error:
        raise SettingsError(str(error).replace("search_space[0]", f"{path}.search", 1)) from None
    search = {name if name == "model_name" else find(name).name: given for name, given in recipe.search.items()}
    if missing := {"model_name", *search} - set(values):
        raise SettingsError(f"{path}.hyperparameters has no {', '.join(sorted(missing))}.")
    for name in sorted(search.keys() - held(search, values).keys()):
        raise SettingsError(
            f"{path}.search.{name} must be a distribution that holds the recipe's own value, {values[name]!r}, "
            f"where the search begins; got {search[name]!r}."
        )
    return recipe.model_copy(update={"hyperparameters": values, "search": search})


def hardware_class() -> Hardware:
    """Return the kind of this machine by the memory of its first GPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    return "large_gpu" if torch.cuda.get_device_properties(0).total_memory >= LARGE_GPU_BYTES else "small_gpu"
