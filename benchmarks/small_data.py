"""Every model family on small real data: does it learn, how well, in how many minutes; against a stated floor.

`CASES` are the defaults on real sets, `FAMILIES` one model of every other family. Each case is one `kedro run` of the
whole pipeline, as a user would type it, in a process of its own. A case whose data is not
there is left out, visibly. Examples:

    python benchmarks/small_data.py                                   the bundled sample
    python benchmarks/small_data.py --data FOLDER --only clothing     sets in FOLDER too, cases whose name fits
    python benchmarks/small_data.py --only family                     the other families, on the bundled sample
    python benchmarks/small_data.py --seeds 0 1 2 --set label_smoothing=0.1

Exits with 1 when a case ends below its floor, or with --timed takes longer than it is allowed to.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runs import PROJECT, RunFailed, folder, kedro_run, located

from automl_images.tasks import TASKS

SAMPLE = PROJECT / "data/01_raw/sample"


@dataclasses.dataclass(frozen=True)
class Case:
    """One run: `source` and `validation_data` hold paths relative to the folder of data sets.

    With `few` the source's first images, of which every class has a share, are both sides. With `kind` the model is a
    tiny one of transformers of that type, in a folder.
    """

    name: str
    task: str
    model_name: str
    floor: float
    minutes: float
    source: Mapping[str, Any]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    validation_data: Mapping[str, Any] | None = None
    few: int = 0
    kind: str = ""

    def is_there(self, data: Path | None) -> bool:
        """Tell whether the data set is in the folder of data sets."""
        folder = Path(self.source["path"])
        return folder.is_absolute() or (data is not None and (data / folder).exists())

    def data(self, data: Path | None) -> dict[str, Any]:
        """Return the parameters that name the data."""
        sides = {"source": self.source, "validation_data": self.validation_data}
        return {name: located(side, data) for name, side in sides.items() if side is not None}


CLOTHING = {"path": "clothing_small", "format": "folder", "split": "train"}
CLOTHING_VALIDATION = {"path": "clothing_small", "format": "folder", "split": "validation"}
CUSTOM_VISION = {"path": "azure_customvision/CustomVision/ImageClassification/Images", "format": "folder"}
VOC = {
    "path": "voc100_multiformat/derived/multilabel.csv",
    "images": "voc100_multiformat/data/database/images",
    "format": "csv",
}
VOC_BOXES = {**VOC, "path": "voc100_multiformat/data/database/gts/pascalvoc_format", "format": "voc"}
NUCLEI = {"path": "dsb2018_nuclei/instances.json", "images": "dsb2018_nuclei/images", "format": "coco"}
RACCOON = {"path": "raccoon/annotations", "images": "raccoon/images", "format": "voc"}
LITE = "efficientnet_lite0"

CASES = (
    Case("sample-classes", "image_classification", LITE, 0.95, 10, {"path": SAMPLE / "folders"}),
    Case("sample-multilabel", "image_classification_multilabel", LITE, 0.85, 10, {"path": SAMPLE / "multilabel.csv"}),
    Case(
        "sample-boxes",
        "object_detection",
        "fasterrcnn_efficientnet_lite0_fpn",
        0.90,
        10,
        {"path": SAMPLE / "coco/annotations.json"},
    ),
    Case(
        "sample-masks",
        "instance_segmentation",
        "maskrcnn_efficientnet_lite0_fpn",
        0.80,
        10,
        {"path": SAMPLE / "coco/annotations.json"},
    ),
    Case("clothing", "image_classification", LITE, 0.85, 15, CLOTHING, validation_data=CLOTHING_VALIDATION),
    Case("customvision", "image_classification", LITE, 0.95, 10, CUSTOM_VISION),
    Case("voc-multilabel", "image_classification_multilabel", LITE, 0.45, 10, VOC),
    Case("nuclei", "instance_segmentation", "maskrcnn_efficientnet_lite0_fpn", 0.60, 45, NUCLEI),
    Case("nuclei-boxes", "object_detection", "fasterrcnn_efficientnet_lite0_fpn", 0.70, 30, NUCLEI),
    Case("voc-boxes", "object_detection", "fasterrcnn_efficientnet_lite0_fpn", 0.28, 20, VOC_BOXES),
    Case("raccoon", "object_detection", "fasterrcnn_efficientnet_lite0_fpn", 0.90, 20, RACCOON),
    Case(
        "raccoon-yolov5",
        "object_detection",
        "yolov5",
        0.60,
        20,
        RACCOON,
        {
            "model_size": "small",
            "image_size": 320,
            "optimizer": "adamw",
            "learning_rate": 0.001,
            "training_batch_size": 8,
        },
    ),
)

SMALL_IMAGES = dict.fromkeys(("training_crop_size", "validation_crop_size", "validation_resize_size"), 96)
SMALL_CLASSIFIER = {
    "training_batch_size": 16,
    "number_of_epochs": 25,
    "early_stopping": False,
    "optimizer": "adamw",
    "learning_rate": 0.001,
}
FEW = 10
"""Images that detectors and transformers learn by heart; without pretrained weights a hundred teach them little."""
SMALL_DETECTOR = {
    "number_of_epochs": 25,
    "evaluation_frequency": 5,
    "early_stopping": False,
    "training_batch_size": 2,
    "optimizer": "adamw",
    "learning_rate": 0.0003,
    "gradient_clip_type": "norm",
    "advanced_settings": {"apply_automl_train_augmentations": False},  # else it is not these images that they learn
}
SIDES = {"min_size": 160, "max_size": 224}
SQUARE = {"image_size": 192}
TINY = {"image_size": 128, "number_of_epochs": 150, "evaluation_frequency": 15, "learning_rate": 0.002}


def _learns_classes(model_name: str, floor: float, kind: str = "", few: int = 0, **parameters: Any) -> Case:
    given = {**SMALL_CLASSIFIER, **({} if kind else SMALL_IMAGES)}
    given = {**given, "training_batch_size": 4, "number_of_epochs": 40} if few else given
    given |= parameters
    source = {"path": SAMPLE / "folders"}
    return Case(
        f"family-{model_name}", "image_classification", model_name, floor, 10, source, given, few=few, kind=kind
    )


def _learns_by_heart(model_name: str, floor: float, kind: str = "", **parameters: Any) -> Case:
    task = "instance_segmentation" if "mask" in model_name else "object_detection"
    source = {"path": SAMPLE / "coco/annotations.json"}
    given = {**SMALL_DETECTOR, **parameters}
    return Case(f"family-{model_name}", task, model_name, floor, 30, source, given, few=FEW, kind=kind)


FAMILIES = (
    _learns_classes("mobilenetv2", 0.4),
    _learns_classes("resnet18", 0.4),
    _learns_classes("resnet50", 0.4),
    _learns_classes("resnest50", 0.4),
    _learns_classes("seresnext", 0.4),
    _learns_classes("vits16r224", 0.6, few=FEW, learning_rate=0.0002),
    _learns_by_heart("fasterrcnn_resnet18_fpn", 0.8, number_of_epochs=15, **SIDES),
    _learns_by_heart("retinanet_resnet50_fpn", 0.6, number_of_epochs=50, **SIDES),
    _learns_by_heart("yolov5", 0.8, model_size="small", learning_rate=0.001, number_of_epochs=100, **SQUARE),
    _learns_by_heart("mmd-3x-yolof_r50_c5_8x8_1x_coco", 0.3, number_of_epochs=40, **SIDES),
    _learns_by_heart("mmd-3x-vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco", 0.8, number_of_epochs=40, **SIDES),
    _learns_by_heart("mmd-3x-sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco", 0.05, **SIDES),
    _learns_by_heart("mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco", 0.15, **SQUARE),
    _learns_by_heart("maskrcnn_resnet18_fpn", 0.75, number_of_epochs=15, **SIDES),
    _learns_by_heart("mmd-3x-mask-rcnn_swin-t-p4-w7_fpn_1x_coco", 0.25, **SQUARE),
    *(
        _learns_classes(f"transformers-{kind}", floor, kind, few=FEW, number_of_epochs=120)
        for kind, floor in (("vit", 0.7), ("deit", 0.6), ("beit", 0.6), ("swinv2", 0.5))
    ),
    _learns_by_heart("transformers-detr", 0.03, "detr", **{**TINY, "number_of_epochs": 600, "learning_rate": 0.0005}),
    *(_learns_by_heart(f"transformers-{kind}", 0.6, kind, **TINY) for kind in ("rt_detr", "rt_detr_v2", "d_fine")),
    _learns_by_heart("transformers-maskformer", 0.5, "maskformer", **TINY),
    _learns_by_heart("transformers-mask2former", 0.8, "mask2former", **TINY),
)
"""A case for every family that has no pretrained weights at hand, from random ones, with small images."""


def main() -> int:
    arguments = parse()
    given = dict(item.split("=", 1) for item in arguments.set)
    rows, below = [], False
    for case in cases(arguments.only, arguments.data):
        for seed in arguments.seeds:
            row = run(case, {**given, "random_seed": seed}, arguments.data)
            rows.append(row)
            below |= row["metric"] < case.floor or (arguments.timed and row["minutes"] > case.minutes)
            say(" | ".join(str(value) for value in row.values()))
    say(table(rows))
    return int(below)


def cases(words: Sequence[str], data: Path | None) -> Iterator[Case]:
    """Yield the cases whose names hold one of the words, or `CASES` without words; says which have no data here."""
    known = (*CASES, *FAMILIES) if words else CASES
    for case in known:
        if words and not any(word in case.name for word in words):
            continue
        if case.is_there(data):
            yield case
        else:
            say(f"{case.name}: left out, its data is not there (--data FOLDER)")


def run(case: Case, given: Mapping[str, Any], data: Path | None) -> dict[str, Any]:
    """Run one case and return what came of it; a failed run has the metric 0."""
    parameters = {
        "training_parameters": {"model_name": case.model_name, **case.parameters, **given},
        "registration": {"model_name": f"benchmark-{case.name}"},
    }
    metrics, interval, begun = {}, {}, time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        if case.kind:
            parameters["training_parameters"]["model_name"] = tiny_model(case, Path(root))
        parameters |= few_images(case, Path(root)) if case.few else case.data(data)
        try:
            report = kedro_run(case.task, parameters, Path(root), quiet=True) / "08_reporting" / case.task
            metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
            interval = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))["interval"]
        except RunFailed as error:
            say(str(error))
    minutes = (time.monotonic() - begun) / 60
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    name = TASKS.get(case.task).primary_metric
    return {
        "case": case.name,
        "model": case.model_name,
        "seed": given["random_seed"],
        "name": name,
        "metric": metrics.get(name, 0.0),
        "interval": f"{interval.get('low', 0):.3f} to {interval.get('high', 0):.3f}",
        "floor": case.floor,
        "minutes": round(minutes, 1),
        "allowed": case.minutes,
        "GiB": round(peak, 1),
    }


def tiny_model(case: Case, root: Path) -> str:
    """Return the folder of a tiny network of transformers."""
    from tiny_transformers import save_tiny

    save_tiny(case.kind, case.task, root / case.kind)
    return str(root / case.kind)


def few_images(case: Case, folder: Path) -> dict[str, Any]:
    """Return the parameters that name a few images of the case's set, in which every class is, as both sides."""
    path = Path(case.source["path"])
    if path.is_dir():
        classes = sorted(child for child in path.iterdir() if child.is_dir())
        turns = zip(*(sorted(images.iterdir()) for images in classes), strict=False)
        images = [image for turn in turns for image in turn][: case.few]
        lines = ["image,label", *(f"{image.parent.name}/{image.name},{image.parent.name}" for image in images)]
        few = folder / "few.csv"
        few.write_text("\n".join(lines), encoding="utf-8")
        source: dict[str, Any] = {"format": "csv", "path": few, "images": path}
        return {"source": source, "validation_data": source}
    known = json.loads(path.read_text(encoding="utf-8"))
    images = known["images"][: case.few]
    chosen = {image["id"] for image in images}
    annotations = [entry for entry in known["annotations"] if entry["image_id"] in chosen]
    few = folder / "few.json"
    few.write_text(json.dumps({**known, "images": images, "annotations": annotations}), encoding="utf-8")
    source = {"format": "coco", "path": few, "images": SAMPLE / "images"}
    return {"source": source, "validation_data": source}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, with date and versions above."""
    if not rows:
        return "nothing was run"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "automl-images"))
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {packages}:",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows),
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=folder, help="folder with the data sets; without it only the bundled sample")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of cases")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--timed", action="store_true", help="fail on minutes too, on two cores that do nothing else")
    parser.add_argument("--set", nargs="*", default=[], help="hyper-parameters for all cases, as name=value")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
