"""The one table of hyper-parameters: names, other spellings, types, ranges, defaults and meaning.

Validation of jobs, search spaces, command-line help and `docs/hyperparameters.md` are derived from it; nothing else
states a default. Parsing of single values stands in `core/values.py`. Source: specification, section B; where the
service's documentation and runtime disagree the documented value is the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from automl_images.core.errors import SettingsError, nearest
from automl_images.core.values import Kind, parse

RCNN = ("fasterrcnn_*", "retinanet_*", "maskrcnn_*")
YOLO = ("yolov5",)
DETECTION = (*RCNN, *YOLO)
ANY = ("*",)


@dataclasses.dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: the canonical spelling (that of job files).
        kind: how a value is parsed, see `core/values.py`.
        meaning: one line for people.
        default: value where no pattern of `defaults` fits; None means "not set".
        defaults: `task/model_name` patterns to values; the first that fits wins.
        aliases: other spellings that are accepted.
        minimum, maximum: inclusive range unless `open_minimum` / `open_maximum`.
        choices: the legal values of a `choice`.
        applies_to: patterns of model names for which the row is legal.
        ours: True where the row is an addition to the service's list.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    defaults: tuple[tuple[str, Any], ...] = ()
    aliases: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    open_maximum: bool = False
    choices: tuple[str, ...] = ()
    applies_to: tuple[str, ...] = ANY
    ours: bool = False

    def default_for(self, task: str, model_name: str) -> Any:
        """Return the default for a task and a model."""
        key = f"{task}/{model_name}"
        return next((value for pattern, value in self.defaults if fnmatchcase(key, pattern)), self.default)

    def fits(self, model_name: str) -> bool:
        """Tell whether the row is legal for a model."""
        return any(fnmatchcase(model_name, pattern) for pattern in self.applies_to)

    def parse(self, value: Any) -> Any:
        """Return `value` in the row's type.

        Raises:
            SettingsError: wrong type or out of range.
        """
        return parse(
            self.name,
            value,
            self.kind,
            minimum=self.minimum,
            maximum=self.maximum,
            open_maximum=self.open_maximum,
            choices=self.choices,
        )


_LITE = "*/fasterrcnn_efficientnet_lite0_fpn"
_YOLO = "*/yolov5"

TABLE: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "number_of_epochs", "int", "Passes over the training images.", 15, ((_YOLO, 30), (_LITE, 10)), minimum=1
    ),
    Hyperparameter(
        "training_batch_size", "int", "Images in a training step (per device).", 2, ((_YOLO, 16), (_LITE, 4)), minimum=1
    ),
    Hyperparameter(
        "validation_batch_size",
        "int",
        "Images in a validation step (per device).",
        1,
        ((_YOLO, 16), (_LITE, 4)),
        minimum=1,
    ),
    Hyperparameter(
        "gradient_accumulation_step",
        "int",
        "Batches whose gradients are added up before the weights change.",
        1,
        aliases=("grad_accumulation_step",),
        minimum=1,
    ),
    Hyperparameter("early_stopping", "bool", "Stop when the primary metric no longer improves.", True),
    Hyperparameter("early_stopping_patience", "int", "Evaluations without improvement before stopping.", 5, minimum=1),
    Hyperparameter("early_stopping_delay", "int", "Epochs before improvement is watched at all.", 5, minimum=1),
    Hyperparameter(
        "learning_rate",
        "float",
        "Step size at the top of the schedule.",
        0.005,
        ((_YOLO, 0.01),),
        minimum=0,
        maximum=1,
    ),
    Hyperparameter(
        "learning_rate_scheduler",
        "choice",
        "Shape of the learning rate over time.",
        "warmup_cosine",
        aliases=("lr_scheduler",),
        choices=("warmup_cosine", "step"),
    ),
    Hyperparameter("step_lr_gamma", "float", "Factor of the step schedule.", 0.5, minimum=0, maximum=1),
    Hyperparameter("step_lr_step_size", "int", "Epochs between two steps of the step schedule.", 5, minimum=1),
    Hyperparameter(
        "warmup_cosine_lr_cycles", "float", "Cosine waves after warm-up; 0.5 ends at zero.", 0.45, minimum=0, maximum=1
    ),
    Hyperparameter("warmup_cosine_lr_warmup_epochs", "int", "Epochs of linear warm-up.", 2, minimum=1),
    Hyperparameter("optimizer", "choice", "Optimiser.", "sgd", choices=("sgd", "adam", "adamw")),
    Hyperparameter("momentum", "float", "Momentum of sgd.", 0.9, minimum=0, maximum=1),
    Hyperparameter(
        "weight_decay", "float", "Decay of weights; norm layers and biases have none.", 1e-4, minimum=0, maximum=1
    ),
    Hyperparameter("nesterov", "bool", "Nesterov momentum of sgd.", True),
    Hyperparameter("beta1", "float", "First moment's decay of adam and adamw.", 0.9, minimum=0, maximum=1),
    Hyperparameter("beta2", "float", "Second moment's decay of adam and adamw.", 0.999, minimum=0, maximum=1),
    Hyperparameter("ams_gradient", "bool", "AMSGrad variant of adam and adamw.", False, aliases=("amsgrad",)),
    Hyperparameter(
        "evaluation_frequency", "int", "Epochs between evaluations; the last epoch is always evaluated.", 1, minimum=1
    ),
    Hyperparameter("checkpoint_frequency", "int", "Epochs between checkpoints to resume from.", 1, minimum=1),
    Hyperparameter("layers_to_freeze", "int", "Leading layer groups that are not trained.", None, minimum=1),
    Hyperparameter(
        "number_of_workers",
        "int",
        "Processes that load images; not set: from the free cores.",
        None,
        aliases=("num_workers",),
        minimum=0,
    ),
    Hyperparameter("distributed", "bool", "Accepted for job files; a trial uses one device.", True),
    Hyperparameter(
        "enable_onnx_normalization", "bool", "Put the division by 255, mean and std into the ONNX graph.", False
    ),
    Hyperparameter("random_seed", "int", "Seed of everything random.", 0, aliases=("seed",), minimum=0),
    Hyperparameter(
        "log_training_metrics",
        "choice",
        "Compute the metrics on training images too.",
        "Disable",
        choices=("Enable", "Disable"),
    ),
    Hyperparameter(
        "log_validation_loss",
        "choice",
        "Compute the loss on validation images.",
        "Enable",
        choices=("Enable", "Disable"),
    ),
    Hyperparameter("advanced_settings", "json", "JSON object of switches, see the documentation.", None),
    Hyperparameter(
        "validation_metric_type",
        "choice",
        "Which metrics are computed on validation images.",
        "voc",
        choices=("none", "coco", "voc", "coco_voc"),
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "validation_iou_threshold",
        "float",
        "Overlap from which a box counts as found.",
        0.5,
        minimum=0.1,
        maximum=1,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "min_size",
        "int",
        "Shorter side of the resized image, pixels.",
        600,
        ((_LITE, 320),),
        minimum=32,
        applies_to=RCNN,
    ),
    Hyperparameter(
        "max_size",
        "int",
        "Longest allowed side of the resized image, pixels.",
        1333,
        ((_LITE, 533),),
        minimum=32,
        applies_to=RCNN,
    ),
    Hyperparameter(
        "box_score_threshold",
        "float",
        "Detections below this score are not returned.",
        0.3,
        ((_YOLO, 0.1),),
        aliases=("box_score_thresh",),
        minimum=0,
        maximum=1,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "nms_iou_threshold",
        "float",
        "Overlap from which two boxes of a class are one.",
        0.5,
        aliases=("nms_iou_thresh", "box_nms_thresh", "box_iou_thresh"),
        minimum=0,
        maximum=1,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "box_detections_per_image",
        "int",
        "Most detections of an image.",
        100,
        aliases=("box_detections_per_img",),
        minimum=1,
        applies_to=RCNN,
    ),
    Hyperparameter(
        "tile_grid_size",
        "grid",
        "Tiles in width and height, as in 3x2; not set: no tiling.",
        None,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "tile_overlap_ratio",
        "float",
        "Overlap of neighbouring tiles.",
        0.25,
        minimum=0,
        maximum=1,
        open_maximum=True,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "tile_predictions_nms_threshold",
        "float",
        "Overlap from which boxes of two tiles are one.",
        0.25,
        aliases=("tile_predictions_nms_thresh",),
        minimum=0,
        maximum=1,
        applies_to=DETECTION,
    ),
    Hyperparameter(
        "image_size",
        "int",
        "Side of the square input, pixels; rounded up to a multiple of 32.",
        640,
        aliases=("img_size",),
        minimum=32,
        applies_to=YOLO,
    ),
    Hyperparameter(
        "model_size",
        "choice",
        "Width and depth of the network.",
        "medium",
        choices=("small", "medium", "large", "extra_large"),
        applies_to=YOLO,
    ),
    Hyperparameter("multi_scale", "bool", "Vary the size of training batches by up to half.", False, applies_to=YOLO),
    Hyperparameter(
        "ema",
        "bool",
        "Evaluate and keep the moving average of the weights.",
        False,
        ((_YOLO, True), (_LITE, True)),
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
        ((_LITE, "norm"),),
        aliases=("grad_clip_type",),
        choices=("value", "norm"),
        ours=True,
    ),
    Hyperparameter(
        "gradient_clip", "float", "Bound of the clipped gradient.", 5.0, ((_LITE, 2.0),), minimum=0, ours=True
    ),
)

_BY_SPELLING: dict[str, Hyperparameter] = {s: row for row in TABLE for s in (row.name, *row.aliases)}


def find(name: str) -> Hyperparameter:
    """Return the row for a name in any spelling.

    Raises:
        SettingsError: there is no such hyper-parameter; the message names the nearest.
    """
    if name not in _BY_SPELLING:
        raise SettingsError(
            f"Unknown hyper-parameter {name!r}.{nearest(name, _BY_SPELLING)} See docs/hyperparameters.md."
        )
    return _BY_SPELLING[name]


def canonical(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with canonical names and parsed values; `model_name` passes through.

    Raises:
        SettingsError: unknown name, the same row under two spellings, wrong type or out of range.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        key = name if name == "model_name" else find(name).name
        if key in values:
            raise SettingsError(f"{key} is given twice, under two spellings; keep one.")
        values[key] = value if key == "model_name" or value is None else find(key).parse(value)
    return values


def resolve(task: str, model_name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every hyper-parameter of a model: what the user gave, else the default.

    Args:
        task: pipeline name, for example `object_detection`.
        model_name: name in the catalogue.
        given: the user's values in any spelling; None counts as not given; `model_name` is skipped.

    Raises:
        SettingsError: unknown, out of range, or not applicable to this model.
    """
    chosen = {name: value for name, value in canonical(given).items() if name != "model_name" and value is not None}
    for name in chosen:
        if not find(name).fits(model_name):
            raise SettingsError(
                f"{name} does not apply to {model_name}; it is for {', '.join(find(name).applies_to)}. Remove it."
            )
    rows = [row for row in TABLE if row.fits(model_name)]
    values = {row.name: chosen.get(row.name, row.default_for(task, model_name)) for row in rows}
    if values.get("min_size", 0) > values.get("max_size", 0):
        raise SettingsError(
            f"min_size {values['min_size']} is above max_size {values['max_size']} of {model_name}; set both."
        )
    return values
