"""Our trainer against a bare PyTorch loop over the same network, images and transforms: images a second, in one run.

Rounds of both alternate, because machines are noisy; the ratio is that of the medians. The ratio of CPU time a step
(without loader processes) hardly sees what else the machine does. The bare loop loads, moves, computes, clips and
steps, and nothing else. Example:

    python benchmarks/training.py --model fasterrcnn_efficientnet_lite0_fpn --images 24 --rounds 3
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from automl_images.core.events import EventLog, read_events
from automl_images.core.hyperparameters import resolve
from automl_images.data.conversion import convert
from automl_images.data.mltable import class_names
from automl_images.data.sources import SourceOptions
from automl_images.sweep.trials import TrialRequest
from automl_images.tasks import get_task
from automl_images.training.learner import Learner
from automl_images.training.loading import TrainingOrder
from automl_images.training.optimizers import make_optimizer
from automl_images.training.settings import TrainingSettings
from automl_images.training.threads import available_cores, plan_workers
from automl_images.training.trainer import train

SAMPLE = Path(__file__).parent.parent / "data/01_raw/sample/coco/annotations.json"
PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16}


def main() -> None:
    arguments = parse()
    if arguments.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    workers = arguments.workers
    if workers is None:
        workers = plan_workers(available_cores(), arguments.device != "cpu")
    learner, settings = prepare(arguments, workers)
    start = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    for number in range(arguments.rounds + 1):
        for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
            learner.model.load_state_dict(start)
            if side == "ours":
                ours.append(our_epoch(learner, settings))
            else:
                bare.append(bare_epoch(learner, settings, arguments.device))
        mine, plain = ours[-1]["images_per_second"], bare[-1]["images_per_second"]
        print(f"round {number}: ours {mine:.2f}, bare {plain:.2f} images/s", flush=True)
    report(arguments, workers, ours[1:], bare[1:])  # the first round warms up


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="object_detection")
    parser.add_argument("--model", default="fasterrcnn_efficientnet_lite0_fpn")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--amp", default="no", choices=("no", "fp16", "bf16"))
    parser.add_argument("--images", type=int, default=24, help="images of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds, after one to warm up")
    parser.add_argument("--workers", type=int, help="loader processes; default: as the trainer plans")
    parser.add_argument("--ema", action="store_true", help="let our side also keep the moving average")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyper-parameters")
    return parser.parse_args()


def prepare(arguments: argparse.Namespace, workers: int) -> tuple[Learner, TrainingSettings]:
    """Return the learner of the bundled sample and settings under which nothing but training is measured."""
    given: dict[str, Any] = dict(item.split("=", 1) for item in arguments.set)
    given |= {"number_of_epochs": 1, "mixed_precision": arguments.amp, "number_of_workers": workers}
    given |= {"ema": arguments.ema, "validation_metric_type": "none", "log_validation_loss": "Disable"}
    values = resolve(arguments.task, arguments.model, given)
    task = get_task(arguments.task)
    source = SourceOptions(format="coco", path=str(SAMPLE), images=str(SAMPLE.parent.parent / "images"))
    rows = convert(source, task.label_kind, workers=1).rows
    many = (rows * (1 + arguments.images // len(rows)))[: arguments.images]
    request = TrialRequest(
        number=0,
        task=arguments.task,
        model_name=arguments.model,
        hyperparameters=values,
        classes=class_names(rows, task.label_kind),
        training_table="",
        validation_table="",
        data_hash="",
        augmentation_plan=task.augmentation_plans({arguments.model: values}),
        primary_metric=task.primary_metric,
    )
    learner, _ = task.learner(request, many, rows[:1])
    return learner, TrainingSettings.from_hyperparameters(values)


class Ticks:
    """Called after every step (as the trainer calls `stop`), notes the CPU time of this process."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self) -> bool:
        """Note the time; False: go on."""
        self.seconds.append(time.process_time())
        return False

    def median(self) -> float:
        """Return the median CPU seconds of a step."""
        return statistics.median(b - a for a, b in itertools.pairwise(self.seconds))


def our_epoch(learner: Learner, settings: TrainingSettings) -> dict[str, float]:
    """Return what the trainer measured in its training part."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "events.jsonl"
        ticks = Ticks()
        train(learner, settings, Path(name), events=EventLog(log), stop=ticks)
        [event] = [event for event in read_events(log) if event["event"] == "epoch"]
    return {**event, "cpu_step": ticks.median()}


def bare_epoch(learner: Learner, settings: TrainingSettings, device: str) -> dict[str, float]:
    """Return what a loop as one writes it by hand reaches."""
    images = learner.training_set
    model = learner.model.to(device)
    optimizer = make_optimizer(model, settings)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    precision = PRECISIONS.get(settings.mixed_precision)
    batch_size, groups = settings.training_batch_size, learner.training_set.shape_groups
    loader = DataLoader(
        images,
        batch_sampler=TrainingOrder(len(images), batch_size, settings.random_seed, shape_groups=groups),
        collate_fn=learner.collate,
        num_workers=settings.number_of_workers or 0,
        pin_memory=device == "cuda",
    )
    scaler = torch.amp.GradScaler(device, enabled=settings.mixed_precision == "fp16")
    model.train()
    ticks, seen, begun = Ticks(), 0, time.perf_counter()
    for batch in loader:
        seen += len(batch)
        with torch.autocast(device, dtype=precision, enabled=precision is not None):
            loss = sum(learner.losses(model, batch.to(device, non_blocking=True)).values())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_value_(parameters, settings.gradient_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        ticks()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"images_per_second": seen / (time.perf_counter() - begun), "cpu_step": ticks.median()}


def report(
    arguments: argparse.Namespace, workers: int, ours: list[dict[str, float]], bare: list[dict[str, float]]
) -> None:
    def median(rounds: list[dict[str, float]], name: str) -> float:
        return statistics.median(measured[name] for measured in rounds)

    mine, plain = median(ours, "images_per_second"), median(bare, "images_per_second")
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"\n{arguments.model} on {where}, amp {arguments.amp}, {workers} workers, {arguments.images} images an epoch")
    print(f"ours {mine:.2f} images/s, bare loop {plain:.2f} images/s")
    print(f"waiting for data: {median(ours, 'data_wait'):.1%} of the time")
    print(f"ratio ours / bare: {mine / plain:.3f} (median of {len(bare)} alternating rounds)")
    if arguments.device == "cpu":
        print(f"ratio by CPU time of a step: {median(bare, 'cpu_step') / median(ours, 'cpu_step'):.3f}")


if __name__ == "__main__":
    main()
