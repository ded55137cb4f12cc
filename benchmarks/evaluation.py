"""Our detection metrics against pycocotools, on the same synthetic predictions: same numbers, ratio of times.

Run: `python benchmarks/evaluation.py [--images 5000] [--repeat 3]`; `RAYON_NUM_THREADS=1` holds hotcoco to one thread.

5,000 images, about 50,000 annotated objects of 80 classes and 50,000 detections. Each side starts from what it is given
in practice: ours from `Detections` and `Objects`, pycocotools from the same as Python dictionaries, already built (its
reading of JSON is not counted). Loading, evaluation and summary are timed; the best of the repeats counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from automl_images.core.types import Detections, Objects
from automl_images.evaluation.bootstrap import mean_average_precision_interval
from automl_images.evaluation.coco import NAMES, coco_metrics
from automl_images.evaluation.detection import evaluate_detections
from automl_images.evaluation.voc import voc_metrics

CLASSES = 80
PER_IMAGE = 10
REQUIRED_RATIO = 10.0


def synthetic(images: int, seed: int = 0) -> tuple[list[Detections], list[Objects]]:
    """Return detections and truths: most objects are found nearly, some with a wrong class, some invented."""
    rng = np.random.default_rng(seed)
    pairs = [_image(rng) for _ in range(images)]
    return [found for found, _ in pairs], [known for _, known in pairs]


def _image(rng: np.random.Generator) -> tuple[Detections, Objects]:
    corner = rng.uniform(0, 500, (PER_IMAGE, 2))
    boxes = np.concatenate((corner, corner + np.exp(rng.uniform(2.3, 5.5, (PER_IMAGE, 2)))), axis=1)
    # As in photographs, the objects of an image are of few classes.
    labels = rng.choice(rng.integers(0, CLASSES, 3), PER_IMAGE)
    truth = Objects(boxes.astype(np.float32), labels, rng.random(PER_IMAGE) < 0.01)
    found = boxes + rng.normal(0, 0.1, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    strange = rng.random(PER_IMAGE) < 0.2
    found_labels = np.where(strange, rng.integers(0, CLASSES, PER_IMAGE), labels)
    # As with a real detector, better boxes of the right class tend to have higher scores.
    shift = np.abs(found - boxes).max(axis=1) / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    scores = 1 / (1 + np.exp(-rng.normal(2 - 8 * shift - 2 * strange, 1)))
    detections = Detections(found.astype(np.float32), found_labels, scores.astype(np.float32))
    return detections.take(np.argsort(-scores)), truth


def as_dictionaries(predictions: list[Detections], truths: list[Objects]) -> tuple[dict[str, Any], list[Any]]:
    """Return annotations and results as pycocotools takes them."""
    annotations = [
        {"image_id": image, "category_id": int(label) + 1, "bbox": _xywh(box), "iscrowd": int(crowd)}
        for image, truth in enumerate(truths, 1)
        for box, label, crowd in zip(truth.boxes, truth.labels, truth.crowd, strict=True)
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation |= {"id": number, "area": annotation["bbox"][2] * annotation["bbox"][3]}
    results = [
        {"image_id": image, "category_id": int(label) + 1, "bbox": _xywh(box), "score": float(score)}
        for image, found in enumerate(predictions, 1)
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
    ]
    images = [{"id": image} for image in range(1, len(truths) + 1)]
    categories = [{"id": label} for label in range(1, CLASSES + 1)]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def _xywh(box: np.ndarray) -> list[float]:
    x, y, right, bottom = (float(v) for v in box)
    return [x, y, right - x, bottom - y]


def pycocotools_stats(dataset: dict[str, Any], results: list[Any]) -> np.ndarray:
    """Return pycocotools' twelve numbers."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO()
        truths.dataset = dataset
        truths.createIndex()
        evaluation = COCOeval(truths, truths.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def best_time(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Return the shortest of `repeat` wall-clock times in seconds, and the result."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Measure, print, and fail when the numbers differ or the ratio is below what is required."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    predictions, truths = synthetic(options.images)
    dataset, results = as_dictionaries(predictions, truths)
    print(
        f"{options.images} images, {len(results)} detections, {len(dataset['annotations'])} objects, {CLASSES} classes"
    )
    print(f"{os.cpu_count()} cores, RAYON_NUM_THREADS={os.environ.get('RAYON_NUM_THREADS', 'unset (all cores)')}")

    coco_metrics(predictions[:10], truths[:10], CLASSES)  # imports
    pycocotools_stats(*as_dictionaries(predictions[:10], truths[:10]))
    reference_time, reference = best_time(lambda: pycocotools_stats(dataset, results), min(options.repeat, 2))
    our_time, ours = best_time(lambda: coco_metrics(predictions, truths, CLASSES), options.repeat)
    difference = float(np.abs(reference - [ours[name] for name in NAMES]).max())
    voc_time, voc = best_time(lambda: voc_metrics(predictions, truths, CLASSES), options.repeat)
    names = [str(label) for label in range(CLASSES)]
    whole_time, whole = best_time(lambda: evaluate_detections(predictions, truths, names), options.repeat)
    interval_time, interval = best_time(lambda: mean_average_precision_interval(whole.matches), 1)

    print(f"pycocotools                      {reference_time:8.3f} s   AP {reference[0]:.6f}")
    print(f"our COCO metrics                 {our_time:8.3f} s   AP {ours[NAMES[0]]:.6f}")
    print(f"ratio                            {reference_time / our_time:8.1f}     largest difference {difference:.1e}")
    print(f"our VOC metrics                  {voc_time:8.3f} s   mAP {voc.mean_average_precision:.5f}")
    print(f"VOC with all curves and tables   {whole_time:8.3f} s")
    print(f"bootstrap interval, 200 samples  {interval_time:8.3f} s   {interval.low:.5f} to {interval.high:.5f}")
    if difference > 1e-9 or reference_time < REQUIRED_RATIO * our_time:
        raise SystemExit(f"Expected equal numbers at {REQUIRED_RATIO:g} times the speed.")


if __name__ == "__main__":
    main()
