"""What the checks of hyper-parameters share: their registry, and real trainings and learners in miniature."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import tiny_learner
from PIL import Image
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from automl_images.core.events import EventLog, read_events
from automl_images.core.hyperparameters import resolve
from automl_images.models import catalogue
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import get_task
from automl_images.tasks.objects import _metadata
from automl_images.training.trainer import train

EFFECTS = {}
"""By name of the row: a function of an empty folder that fails where a value of the row does not act."""

CLASSES = ["a", "b"]
LITE_CLASSIFIER = "efficientnet_lite0"
LITE_DETECTOR = "fasterrcnn_efficientnet_lite0_fpn"
LITE_SEGMENTER = "maskrcnn_efficientnet_lite0_fpn"
SMALL = {
    LITE_CLASSIFIER: {"validation_resize_size": 32, "validation_crop_size": 32, "training_crop_size": 32},
    LITE_DETECTOR: {"min_size": 64, "max_size": 96},
    LITE_SEGMENTER: {"min_size": 64, "max_size": 96},
    "yolov5": {"image_size": 64, "model_size": "small"},
}


def effect(name):
    """Register the check of a row."""

    def register(function):
        assert name not in EFFECTS, f"{name} has two checks"
        EFFECTS[name] = function
        return function

    return register


@dataclasses.dataclass(frozen=True)
class Step:
    """A change of the weights as the optimiser was about to make it and made it, by the parameters' names."""

    optimizer: str
    options: dict[str, dict]
    before: dict
    gradient: dict
    after: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Trained:
    folder: Path
    result: object
    steps: list[Step]

    @property
    def kept(self):
        return load_file(self.folder / "best.safetensors")

    @property
    def rates(self):
        """The learning rate of each step; all parameters must share it."""
        rates = [{options["lr"] for options in step.options.values()} for step in self.steps]
        assert all(len(found) == 1 for found in rates)
        return [found.pop() for found in rates]

    def told(self, kind):
        return [event for event in read_events(self.folder / "events.jsonl") if event["event"] == kind]


@contextlib.contextmanager
def _recorded(model):
    """Write down what torch's optimisers do to the parameters of a model."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    steps = []

    def before(optimizer, args, kwargs):
        options, values, gradients = {}, {}, {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                options[name] = {key: value for key, value in group.items() if key != "params"}
                values[name] = parameter.detach().clone()
                gradients[name] = parameter.grad.clone()
        steps.append(Step(type(optimizer).__name__, options, values, gradients))

    def after(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                steps[-1].after[names[id(parameter)]] = parameter.detach().clone()

    hooks = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def trained(folder, learner=None, settings=None, **given):
    """Train the tiny learner, or the one that is given, in this process."""
    learner = learner or tiny_learner.TinyLearner(norm=False, dropout=0.0)
    place = Path(tempfile.mkdtemp(dir=folder))
    events = EventLog(place / "events.jsonl")
    with _recorded(learner.model) as steps:
        result = train(
            learner, settings or tiny_learner.settings(**{"checkpoint_frequency": 100} | given), place, events=events
        )
    return Trained(place, result, steps)


def picture(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def rows_of(folder, labels, width=64, height=64):
    """Return rows with one noisy picture for all."""
    path = folder / f"{width}x{height}.png"
    Image.fromarray(picture(width, height)).save(path)
    details = {"width": width, "height": height, "format": "png"}
    return [{"image_url": str(path), "image_details": details, "label": label} for label in labels]


def box(label, left, top, right, bottom):
    return {"label": label, "topX": left, "topY": top, "bottomX": right, "bottomY": bottom, "isCrowd": 0}


def square(label):
    return {"label": label, "polygon": [[0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75]], "isCrowd": 0}


def request_of(task, model_name, **given):
    """Return what a job with these training parameters asks of a trial."""
    values = resolve(task, model_name, {**SMALL[model_name], "number_of_workers": 0, **given})
    adapter = get_task(task)
    return TrialRequest(
        number=0,
        task=task,
        model_name=model_name,
        hyperparameters=values,
        classes=CLASSES,
        training_table="",
        validation_table="",
        data_hash="",
        augmentation_plan=adapter.augmentation_plans({model_name: values}),
        primary_metric=adapter.primary_metric,
    )


def learner_of(rows, task, model_name, **given):
    """Return a task's learner with the same rows on either side."""
    return get_task(task).learner(request_of(task, model_name, **given), rows, rows)[0]


def classifier(folder, labels=("a", "b"), task="image_classification", width=64, height=64, **given):
    return learner_of(rows_of(folder, labels, width, height), task, LITE_CLASSIFIER, **given)


def detector(folder, model_name=LITE_DETECTOR, width=96, height=64, **given):
    """Return a learner with one image: an `a` in its left upper quarter, a `b` in the right lower one."""
    objects = [box("a", 0, 0, 0.5, 0.5), box("b", 0.5, 0.5, 1, 1)]
    return learner_of(rows_of(folder, [objects], width, height), "object_detection", model_name, **given)


def batch_of(learner):
    return learner.collate([learner.training_set[(0, i)] for i in range(len(learner.training_set))])


def detector_metadata(task="instance_segmentation", model_name=LITE_SEGMENTER, **given):
    """Return what an exported model that finds objects says of itself."""
    request = request_of(task, model_name, **given)
    network = catalogue.build_model(task, model_name, CLASSES, request.hyperparameters, weights=None).model
    return _metadata(network, get_task(task).trained_model(request, {}, {}))
