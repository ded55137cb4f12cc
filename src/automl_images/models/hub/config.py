"""What a transformers model says of itself: `config.json` and `preprocessor_config.json` of a folder or a hub name.

Owns finding and reading these files, and what they mean for building and preprocessing. Weights are `weights.py`'s.
transformers is an optional part: it is imported inside functions only, and no code of a model's repository is run.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from automl_images.core.errors import ModelError, SettingsError
from automl_images.core.files import read_json
from automl_images.core.types import Preprocessing
from automl_images.models import weight_files
from automl_images.models.shorter_side import IMAGENET_MEAN, IMAGENET_STD

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
STRIDE = 32

Colour = tuple[float, float, float]
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LABELS = ("id2label", "label2id", "num_labels", "_num_labels")
_BILINEAR = 2  # in the numbers of Pillow; all finer kernels count as bicubic
_USUAL_SIDE = 224


@dataclasses.dataclass(frozen=True, slots=True)
class HubFiles:
    """The content of a model's two JSON files; `preprocessor` is empty where there is none."""

    config: dict[str, Any]
    preprocessor: dict[str, Any]


def is_hub_name(name: str) -> bool:
    """Tell whether a name is `org/name` or the path of a folder."""
    return "/" in name


def require_transformers() -> None:
    """Raise a SettingsError where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise SettingsError(
            "This model needs the library transformers, which is not installed. "
            "Install automl-images[transformers], or take a model of the catalogue that does not need it."
        )


def read_files(name: str, alternative: str) -> HubFiles:
    """Read what a folder or a repository of the hub (its copy in the cache first) says of its model.

    Args:
        name: folder, or `org/name`.
        alternative: a model to take instead, for messages.

    Raises:
        SettingsError: the folder does not exist or holds no model, or the repository is neither in the cache nor at
            the hub.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read_folder(folder)
    if not _REPOSITORY.fullmatch(name):
        raise SettingsError(
            f"There is no folder {name}. Give an existing folder with {CONFIG}, or a hub name org/name."
        )
    config = weight_files.file_of_hub(name, CONFIG)
    if config is None:
        raise SettingsError(
            f"{name} is neither a folder nor in the cache of Hugging Face, and the hub does not give it (no network, "
            f"HF_HUB_OFFLINE, or no such model). Download its folder ({CONFIG}, {PREPROCESSOR}, model.safetensors) on "
            f"a machine with a network and give the folder as model_name, or take {alternative}."
        )
    preprocessor = weight_files.file_of_hub(name, PREPROCESSOR)
    return HubFiles(_object(config), _object(preprocessor) if preprocessor else {})


def _read_folder(folder: Path) -> HubFiles:
    if not (folder / CONFIG).is_file():
        raise SettingsError(
            f"The folder {folder} holds no {CONFIG}, so it is no model of transformers. "
            f"Give a folder as save_pretrained writes it: {CONFIG}, {PREPROCESSOR}, model.safetensors."
        )
    preprocessor = folder / PREPROCESSOR
    return HubFiles(_object(folder / CONFIG), _object(preprocessor) if preprocessor.is_file() else {})


def _object(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON ({error}). Fetch the model anew.") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold a JSON object, got {type(values).__name__}. Fetch the model anew.")
    return values


def build_network(auto_class: str, config: Mapping[str, Any], classes: Sequence[str], **changed: Any) -> Any:
    """Build a network of transformers with random weights.

    Args:
        auto_class: name of the class in transformers that knows the networks of the task.
        config: content of config.json.
        classes: sorted class names; they replace those of the config.
        changed: values that replace those of the config.

    Raises:
        ModelError: transformers does not accept the config.
    """
    require_transformers()
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    values = {name: value for name, value in config.items() if name not in _LABELS} | changed
    values |= {"id2label": dict(enumerate(classes)), "label2id": {name: i for i, name in enumerate(classes)}}
    values["num_labels"] = len(classes)  # PVT goes by this number alone
    values["architectures"] = values.get("architectures") or []
    try:
        made = transformers.CONFIG_MAPPING[values["model_type"]].from_dict(values)
        return getattr(transformers, auto_class).from_config(made)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, StrictDataclassError) as error:
        raise ModelError(f"transformers cannot build the network of this {CONFIG}: {error}") from error


def input_side(config: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> int:
    """Return the side in pixels of the square that a classifier was trained on."""
    names = ("crop_size", "size") if preprocessor.get("do_center_crop") else ("size",)
    for value in (*(preprocessor.get(name) for name in names), config.get("image_size")):
        sides = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        if sides and all(isinstance(side, int) for side in sides):
            return max(sides)
    return _USUAL_SIDE


def square_side(hyperparameters: Mapping[str, Any], least: int) -> int:
    """Return `image_size` rounded up to a multiple of 32.

    Raises:
        SettingsError: it is below `least`: the coarsest map of features would be a single pixel, for which the ONNX
            graph divides by zero.
    """
    side = -(-int(hyperparameters["image_size"]) // STRIDE) * STRIDE
    if side < least:
        raise SettingsError(f"image_size must be at least {least} for this model, got {side}. Use {least} or more.")
    return side


def square(
    resize: Literal["stretch", "letterbox"], side: int, preprocessor: Mapping[str, Any], normalised: bool = True
) -> Preprocessing:
    """Return the preprocessing to a square with the colours and scaling of the model.

    Args:
        resize: how the image becomes a square.
        side: pixels.
        preprocessor: content of preprocessor_config.json; ImageNet's colours and bilinear scaling where it says none.
        normalised: whether colours are normalised where it does not say.
    """
    mean, std = _colour(preprocessor, "image_mean", IMAGENET_MEAN), _colour(preprocessor, "image_std", IMAGENET_STD)
    if not preprocessor.get("do_normalize", normalised):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    red, green, blue = (255 * value for value in mean)
    return Preprocessing(
        resize=resize,
        min_size=side,
        max_size=side,
        fill=(red, green, blue),
        mean=mean,
        std=std,
        interpolation="bilinear" if preprocessor.get("resample", _BILINEAR) == _BILINEAR else "bicubic",
    )


def _colour(preprocessor: Mapping[str, Any], name: str, default: Colour) -> Colour:
    value = preprocessor.get(name)
    if value is None:
        return default
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3:
        raise SettingsError(f"{name} of {PREPROCESSOR} must have three values, for RGB images, got {value}.")
    red, green, blue = map(float, values)
    return red, green, blue
