"""Every model family on small real data: does it learn, how well, in how many minutes; against a stated floor.

Each case is one `kedro run` of the whole pipeline, as a user would type it, in a process of its own. A case whose data
is not there is left out, visibly. Examples:

    python benchmarks/small_data.py                                   the bundled sample
    python benchmarks/small_data.py --data FOLDER --only clothing     sets in FOLDER too, cases whose name fits
    python benchmarks/small_data.py --seeds 0 1 2 --set label_smoothing=0.1

Exits with 1 when a case ends below its floor.
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

from runs import PROJECT, RunFailed, kedro_run, located

SAMPLE = PROJECT / "data/01_raw/sample"
METRICS = {"image_classification": "accuracy", "image_classification_multilabel": "iou"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One run: `source` and `validation_data` hold paths relative to the folder of data sets."""

    name: str
    task: str
    model_name: str
    floor: float
    minutes: float
    source: Mapping[str, Any]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    validation_data: Mapping[str, Any] | None = None

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
        0.80,
        10,
        {"path": SAMPLE / "coco/annotations.json"},
    ),
    Case(
        "sample-masks",
        "instance_segmentation",
        "maskrcnn_efficientnet_lite0_fpn",
        0.75,
        10,
        {"path": SAMPLE / "coco/annotations.json"},
    ),
    Case("clothing", "image_classification", LITE, 0.85, 15, CLOTHING, validation_data=CLOTHING_VALIDATION),
    Case("customvision", "image_classification", LITE, 0.95, 10, CUSTOM_VISION),
    Case("voc-multilabel", "image_classification_multilabel", LITE, 0.55, 10, VOC),
    Case("nuclei", "instance_segmentation", "maskrcnn_efficientnet_lite0_fpn", 0.60, 45, NUCLEI),
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


def main() -> int:
    arguments = parse()
    given = dict(item.split("=", 1) for item in arguments.set)
    rows, below = [], False
    for case in cases(arguments.only, arguments.data):
        for seed in arguments.seeds:
            row = run(case, {**given, "random_seed": seed}, arguments.data)
            rows.append(row)
            below |= row["metric"] < case.floor
            say(" | ".join(str(value) for value in row.values()))
    say(table(rows))
    return int(below)


def cases(words: Sequence[str], data: Path | None) -> Iterator[Case]:
    """Yield the cases whose names hold one of the words, or all without words; says which have no data here."""
    for case in CASES:
        if words and not any(word in case.name for word in words):
            continue
        if case.is_there(data):
            yield case
        else:
            say(f"{case.name}: left out, its data is not there (--data FOLDER)")


def run(case: Case, given: Mapping[str, Any], data: Path | None) -> dict[str, Any]:
    """Run one case and return what came of it; a failed run has the metric 0."""
    parameters = {
        **case.data(data),
        "training_parameters": {"model_name": case.model_name, **case.parameters, **given},
        "registration": {"model_name": f"benchmark-{case.name}"},
    }
    metrics, interval, begun = {}, {}, time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        try:
            report = kedro_run(case.task, parameters, Path(root), quiet=True) / "08_reporting" / case.task
            metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
            interval = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))["interval"]
        except RunFailed as error:
            say(str(error))
    minutes = (time.monotonic() - begun) / 60
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    name = METRICS.get(case.task, "mean_average_precision")
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
    parser.add_argument("--data", type=Path, help="folder with the data sets; without it only the bundled sample")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of cases")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="hyper-parameters for all cases, as name=value")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
