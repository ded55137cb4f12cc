"""Counts that describe a set of rows: classes, sizes of boxes and images, duplicates, findings.

Numbers only; `tables.py` shows them to people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from automl_images.core.types import Finding, Row
from automl_images.data.dataset_checks import content_key
from automl_images.data.mltable import labels_of, normalised_box

_SMALL, _LARGE = 32**2, 96**2
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def summarise(rows: Sequence[Row], kind: str, findings: Iterable[Finding]) -> dict[str, Any]:
    """Return counts as a JSON-serialisable dictionary.

    Keys: `images`, `objects`, `empty_images`, `duplicate_images`, `classes` (name to `images` and `objects`),
    `image_sizes` (quantiles of `width` and `height` in pixels), `box_sizes` (counts of `small`, `medium`, `large` by
    COCO's areas of 32² and 96² pixels, and quantiles of `side`, the root of the area in pixels), `findings` (code to
    `severity`, `action`, `count`). The two sizes are left out where they are unknown or have no meaning.
    """
    names = [labels_of(row["label"], kind) for row in rows]
    objects = Counter(chain.from_iterable(names))
    images = Counter(chain.from_iterable(map(set, names)))
    result = {
        "images": len(rows),
        "objects": objects.total(),
        "empty_images": sum(not row["label"] for row in rows),
        "duplicate_images": len(rows) - len({content_key(row) for row in rows}),
        "classes": {name: {"images": images[name], "objects": objects[name]} for name in sorted(images)},
        "image_sizes": _image_sizes(rows),
        "box_sizes": _box_sizes(rows) if kind in {"boxes", "polygons"} else None,
        "findings": count_findings(findings),
    }
    return {key: value for key, value in result.items() if value is not None}


def count_findings(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """Return for each code its severity, action and count; errors first, then by falling count."""
    counts = Counter((finding.severity, finding.code, finding.action) for finding in findings)
    ordered = sorted(counts.items(), key=lambda entry: (entry[0][0], -entry[1], entry[0][1]))
    return {code: {"severity": severity, "action": action, "count": n} for (severity, code, action), n in ordered}


def _image_sizes(rows: Sequence[Row]) -> dict[str, Any] | None:
    sizes = np.array([size for row in rows if (size := _size(row))], np.float64)
    return None if not len(sizes) else {"width": _quantiles(sizes[:, 0]), "height": _quantiles(sizes[:, 1])}


def _box_sizes(rows: Sequence[Row]) -> dict[str, Any] | None:
    sized = [row for row in rows if row["label"] and _size(row)]
    if not sized:
        return None
    boxes = (normalised_box(item) for row in sized for item in row["label"])
    corners = np.fromiter(chain.from_iterable(boxes), np.float64).reshape(-1, 4)
    pixels = np.array([_size(row) for row in sized], np.float64).prod(axis=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) * np.repeat(pixels, [len(row["label"]) for row in sized])
    return {
        "small": int((areas < _SMALL).sum()),
        "medium": int(((areas >= _SMALL) & (areas < _LARGE)).sum()),
        "large": int((areas >= _LARGE).sum()),
        "side": _quantiles(np.sqrt(areas)),
    }


def _size(row: Row) -> tuple[int, int] | None:
    details = row.get("image_details", {})
    return (details["width"], details["height"]) if "width" in details and "height" in details else None


def _quantiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    found = np.quantile(values, _QUANTILES)
    return {name: round(float(v), 1) for name, v in zip(("min", "q25", "median", "q75", "max"), found, strict=True)}
