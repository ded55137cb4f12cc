"""The twelve numbers of COCO's evaluation, equal to those of pycocotools.

Owns turning our types into what hotcoco (a Rust implementation of the same evaluation) reads, and the numbers' names.
hotcoco runs on as many threads as `RAYON_NUM_THREADS` says (all cores when unset).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import Detections, Objects
from automl_images.data.mask_codes import areas, codes_of
from automl_images.evaluation.matching import IGNORED, MATCHED, UNMATCHED, Matches, Pool, carry_masks, pool_objects

Geometry = Literal["bbox", "segm"]

AVERAGE_PRECISION_50 = "average_precision_iou_0.50_area_all_max_dets_100"

NAMES = (
    "average_precision_iou_0.50_0.95_area_all_max_dets_100",
    AVERAGE_PRECISION_50,
    "average_precision_iou_0.75_area_all_max_dets_100",
    "average_precision_iou_0.50_0.95_area_small_max_dets_100",
    "average_precision_iou_0.50_0.95_area_medium_max_dets_100",
    "average_precision_iou_0.50_0.95_area_large_max_dets_100",
    "average_recall_iou_0.50_0.95_area_all_max_dets_1",
    "average_recall_iou_0.50_0.95_area_all_max_dets_10",
    "average_recall_iou_0.50_0.95_area_all_max_dets_100",
    "average_recall_iou_0.50_0.95_area_small_max_dets_100",
    "average_recall_iou_0.50_0.95_area_medium_max_dets_100",
    "average_recall_iou_0.50_0.95_area_large_max_dets_100",
)
"""COCO's summary, in the order of pycocotools' `stats`: the words of its printed lines, in characters that MLflow's
metric names allow. Areas in square pixels: small below 32², medium below 96², large above."""

RECALL_POINTS = 101
"""COCO averages precision over so many recalls, 0.00, 0.01, … 1.00."""

BOX_PREFIX = "box_"
"""Before the names of the boxes' numbers where the masks' numbers have the plain names."""


def coco_metrics(predictions: Sequence[Detections], truths: Sequence[Objects], num_classes: int) -> dict[str, float]:
    """Return COCO's twelve numbers under `NAMES`, -1 where undefined.

    Where every object carries a mask the plain names hold the masks' numbers and `box_…` the boxes'.

    Args:
        predictions: one per image, at a low score threshold (at most 100 per image and class count).
        truths: one per image, in the same order. An object's area is its mask's where all carry masks, else its box's.
        num_classes: labels lie in `[0, num_classes)`.

    Raises:
        ValueError: different numbers of images, or a label out of range.
        ModelError: a predicted box or score is not finite.
    """
    pool = pool_objects(predictions, truths, num_classes, masks=False)
    if not carry_masks(predictions, truths):
        return _named(_stats(_of_boxes(pool)))
    codes, truth_codes = _encoded(predictions), _encoded(truths)
    boxes = _named(_stats(_of_boxes(pool, areas(truth_codes))))
    masks = _named(_stats(_of_masks(pool, codes, truth_codes)))
    return masks | {BOX_PREFIX + name: value for name, value in boxes.items()}


def coco_matches(predictions: Sequence[Detections], truths: Sequence[Objects], num_classes: int) -> Matches:
    """Return the matches that COCO's average precision at an overlap of 0.50 is made of; arguments as `coco_metrics`.

    A detection may take its second choice, and of each image and class only the first 100 are there. Averaging over
    `RECALL_POINTS` recalls gives the number under `AVERAGE_PRECISION_50`.
    """
    pool = pool_objects(predictions, truths, num_classes, masks=False)
    masks = carry_masks(predictions, truths)
    evaluation = _of_masks(pool, _encoded(predictions), _encoded(truths)) if masks else _of_boxes(pool)
    params = evaluation.params
    params.iou_thrs, params.area_rng, params.area_rng_lbl, params.max_dets = [0.5], [[0, 1e10]], ["all"], [100]
    evaluation.evaluate()
    outcome, truth = np.full(len(pool.image), UNMATCHED, np.int8), np.full(len(pool.image), -1, np.int64)
    seen = np.zeros(len(pool.image), np.bool_)
    for found in evaluation.eval_imgs:
        place = np.asarray(found["dtIds"], np.int64) - 1
        taken, ignored = np.asarray(found["dtMatched"][0], np.bool_), np.asarray(found["dtIgnore"][0], np.bool_)
        seen[place] = True
        outcome[place] = np.where(ignored, IGNORED, np.where(taken, MATCHED, UNMATCHED))
        truth[place] = np.where(taken, np.asarray(found["dtMatches"][0], np.int64) - 1, -1)
    order = np.argsort(-pool.score, kind="stable")
    order = order[seen[order]]
    return Matches(
        image=pool.image[order],
        label=pool.label[order],
        score=pool.score[order],
        outcome=outcome[order],
        truth=truth[order],
        truth_image=pool.truth_image,
        truth_label=pool.truth_label,
        truth_crowd=pool.truth_crowd,
        images=pool.images,
        num_classes=pool.num_classes,
    )


def coco_metrics_of_files(truth_file: Path, results_file: Path, geometry: Geometry) -> dict[str, float]:
    """Return the twelve numbers of a results file against an annotations file, both in COCO's JSON formats."""
    from hotcoco import COCO

    truths = COCO(str(truth_file))
    return _named(_stats(_evaluation(truths, truths.load_res(str(results_file)), geometry)))


def _named(stats: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(NAMES, stats, strict=True)}


def _of_boxes(pool: Pool, truth_areas: NDArray[np.float64] | None = None) -> Any:
    truths = _truth_set(pool, area=truth_areas)
    return _evaluation(truths, truths.load_res(_result_rows(pool)), "bbox")


def _of_masks(pool: Pool, codes: list[dict[str, Any]], truth_codes: list[dict[str, Any]]) -> Any:
    truths = _truth_set(pool, area=areas(truth_codes), segmentation=truth_codes)
    results = truths.load_res(_result_rows(pool), segmentation=codes)
    # Results that bring a box are given the box's area; COCO's results for masks bring none and are given the mask's.
    results.update_anns(ids=np.arange(1, len(codes) + 1), area=areas(codes))
    return _evaluation(truths, results, "segm")


def _truth_set(pool: Pool, **columns: Any) -> Any:
    """Return the annotated objects as hotcoco's data set; ids count from 1, as id 0 means unmatched there."""
    from hotcoco import COCO

    return COCO.from_arrays(
        [{"id": number} for number in range(1, pool.images + 1)],
        [{"id": number, "name": str(number)} for number in range(1, pool.num_classes + 1)],
        pool.truth_image + 1,
        pool.truth_label + 1,
        _corner_and_size(pool.truth_boxes),
        iscrowd=pool.truth_crowd,
        **columns,
    )


def _result_rows(pool: Pool) -> NDArray[np.float64]:
    """Return `(D, 7)`: image id, x, y, width, height, score, category id."""
    return np.column_stack((pool.image + 1, _corner_and_size(pool.boxes), pool.score, pool.label + 1))


def _corner_and_size(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = boxes.astype(np.float64)
    return np.concatenate((wide[:, :2], wide[:, 2:] - wide[:, :2]), axis=1)


def _encoded(items: Sequence[Detections] | Sequence[Objects]) -> list[dict[str, Any]]:
    """Return the run-length codes of all masks, image after image."""
    return [code for item in items if (codes := codes_of(item)) is not None for code in codes]


def _evaluation(truths: Any, results: Any, geometry: Geometry) -> Any:
    from hotcoco import COCOeval

    return COCOeval(truths, results, geometry)


def _stats(evaluation: Any) -> NDArray[np.float64]:
    evaluation.evaluate()
    evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its table
        evaluation.summarize()
    return np.asarray(evaluation.stats)
