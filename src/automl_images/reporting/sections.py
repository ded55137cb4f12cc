"""From results to the tables of the report: which rows, which columns, in which order, as which text.

Everything here is plain values; escaping is the template's. A number that is missing or undefined is shown as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from automl_images.reporting.charts import main_number, weakest_first, words
from automl_images.reporting.trial_axes import varying

DASH = "–"
EXAMPLES = 3
_CLASS_COLUMNS = {
    "average_precision": "Average precision",
    "precision": "Precision",
    "recall": "Recall",
    "f1_score": "F1",
    "auc": "AUC",
    "iou": "IoU",
    "best_threshold": "Best threshold",
    "best_f1": "F1 there",
    "ground_truths": "Objects",
    "support": "Images",
}
_OF_THRESHOLDS = ("best_threshold", "best_f1")
_PARITY_COLUMNS = {
    "images": "Images",
    "detections": "Compared",
    "largest_box_difference": "Largest box difference, px",
    "largest_mask_difference": "Largest mask difference, 1 − IoU",
    "largest_score_difference": "Largest score difference",
    "label_mismatches": "Other labels",
    "unmatched": "Unmatched",
}
_OBJECT_KINDS = ("boxes", "polygons")
_WORDS_OF_KIND = {
    "class": {"objects": "", "empty_images": ""},
    "classes": {"objects": "labels", "empty_images": "images without a class"},
}


def number(value: Any, digits: int = 3) -> str:
    """Return a ratio or measure as text; None, NaN and -1 (undefined) as a dash."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return DASH if value is None else str(value)
    if math.isnan(value) or value == -1:
        return DASH
    if isinstance(value, float) and value.is_integer() and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def setting(value: Any) -> str:
    """Return a hyper-parameter as text: few digits, and a dash where the model has no such setting."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return a time as `45 s`, `12 min` or `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def leaderboard(trials: pd.DataFrame, metric: str, best: Any) -> dict[str, Any]:
    """Return the trials, best first, with the hyper-parameters in which trials of one model differ.

    Returns:
        `columns` (names of those hyper-parameters) and `rows` of `trial`, `status`, `model`, `metric`, `share` (of the
        best metric), `epochs`, `time`, `values`, `note`, `is_best`.
    """
    columns = varying(trials, metric)
    ordered = trials.sort_values([metric, "trial"], ascending=[False, True], na_position="last")
    rows = [
        {
            "trial": row["trial"],
            "status": row["status"],
            "model": row["model_name"],
            "metric": number(row[metric]),
            "epochs": f"{row['best_epoch']} of {row['epochs']}" if row["epochs"] else DASH,
            "time": duration(float(row["seconds"])),
            "values": [setting(row[name]) for name in columns],
            "note": "" if setting(row["note"]) == DASH else row["note"],
            "is_best": row["trial"] == best,
        }
        for row in ordered.to_dict("records")
    ]
    return {"columns": columns, "rows": rows}


def automode_table(best_trial: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what AutoMode considered: `name`, `model`, `epoch`, `memory`, `epochs`, `time`, `reason`, `is_tried`.

    Args:
        best_trial: with `automode`, see `jobs.automode.considered`; without it there are no rows.
    """
    return [
        {
            "name": row["name"],
            "model": row["model_name"],
            "epoch": DASH if row["seconds_per_epoch"] is None else f"{row['seconds_per_epoch']:.1f} s",
            "memory": DASH if row["memory_bytes"] is None else f"{row['memory_bytes'] / 2**30:.1f} GiB",
            "epochs": f"{row['epochs']} of {row['epochs_asked']}",
            "time": duration(row["seconds"]) if row["epochs"] else DASH,
            "reason": row["reason"],
            "is_tried": row["epochs"] > 0,
        }
        for row in best_trial.get("automode") or []
    ]


def class_table(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of each class, the weakest first, and their averages.

    Returns:
        `columns` (titles of what the rows hold, the number that classes are compared by first; thresholds only where
        one is in use), and `rows` and `averages` of `name`, `values` (texts) and `share` (of the first value's bar).
    """
    rows = evaluation.get("per_label_metrics", [])
    averages = evaluation.get("averages") or []
    main = main_number(rows)
    unused = _OF_THRESHOLDS if evaluation.get("operating_threshold") is None else ()
    measured = [name for name in _CLASS_COLUMNS if rows and name in rows[0] and name not in unused]
    names = sorted(measured, key=lambda name: name != main)
    return {
        "columns": [_CLASS_COLUMNS[name] for name in names],
        "rows": [_class_row(row, names) for row in weakest_first(rows)],
        "averages": [_class_row(row, names) for row in averages],
    }


def _class_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    values = [number(row.get(name), 2 if name == "best_threshold" else 3) for name in names]
    return {"name": row["class_name"], "values": values, "share": max(0.0, row[names[0]])}


def parity_table(parity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparisons of torch and ONNX: `columns` (titles of what was measured) and `rows`.

    Args:
        parity: with `cases`; what is None in all of them was not compared.
    """
    cases = parity.get("cases", [])
    names = [name for name in _PARITY_COLUMNS if any(case.get(name) is not None for case in cases)]
    rows = [
        {"name": case["name"], "passed": case["passed"], "values": [_difference(case.get(name)) for name in names]}
        for case in cases
    ]
    return {"columns": [_PARITY_COLUMNS[name] for name in names], "rows": rows}


def _difference(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else number(value)


def metric_rows(metrics: Mapping[str, Any], primary: str) -> list[dict[str, Any]]:
    """Return all metrics, the primary one first, else in the order given."""
    names = sorted(metrics, key=lambda name: name != primary)
    return [{"name": name, "value": number(metrics[name], 4), "is_primary": name == primary} for name in names]


def data_sides(conversion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what was read, one entry a source: `name`, `summary`, `facts`, `classes`, `findings`.

    Args:
        conversion: `training` and `validation` (or None), each with `summary` and `findings`; or one of them alone.
    """
    sides = {"training": conversion} if "summary" in conversion else conversion
    return [_side(name, side) for name, side in sides.items() if isinstance(side, Mapping)]


def _side(name: str, side: Mapping[str, Any]) -> dict[str, Any]:
    summary = side.get("summary", {})
    return {
        "name": name,
        "summary": summary,
        "facts": _facts(summary),
        "classes": _class_counts(summary.get("classes", {})),
        "boxes": summary.get("box_sizes"),
        "quantiles": _quantiles(summary),
        "findings": _grouped(side.get("findings", []), summary.get("findings", {})),
    }


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain counts by name; where images have classes, not objects, some are named otherwise or left out."""
    named = _WORDS_OF_KIND.get(summary.get("kind", ""), {})
    plain = {key: value for key, value in summary.items() if isinstance(value, int | str) and key != "kind"}
    return {words(named.get(key, key)): value for key, value in plain.items() if named.get(key, key)}


def has_objects(conversion: Mapping[str, Any]) -> bool:
    """Tell whether labels are objects in the images, which are counted and drawn, rather than classes of images."""
    kinds = {side["summary"].get("kind") for side in data_sides(conversion)}
    return bool(kinds.intersection(_OBJECT_KINDS))


def _class_counts(classes: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    most = max((entry["objects"] for entry in classes.values()), default=1) or 1
    rows = [{"name": name, **entry, "share": entry["objects"] / most} for name, entry in classes.items()]
    return sorted(rows, key=lambda row: (-row["objects"], row["name"]))


def _quantiles(summary: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    sizes, boxes = summary.get("image_sizes") or {}, summary.get("box_sizes") or {}
    found = {"image width": sizes.get("width"), "image height": sizes.get("height"), "box side": boxes.get("side")}
    return {name: values for name, values in found.items() if values}


def _grouped(findings: Sequence[Mapping[str, Any]], counts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry a code, errors first: `code`, `severity`, `action`, `count` and the first `examples`."""
    groups: dict[str, dict[str, Any]] = {}
    for finding in findings:
        known = {key: finding[key] for key in ("code", "severity", "action")}
        group = groups.setdefault(finding["code"], {**known, "count": 0, "examples": []})
        group["count"] += 1
        if group["count"] <= EXAMPLES:
            group["examples"].append({"message": finding["message"], "where": place(finding)})
    for code, entry in counts.items():
        groups.setdefault(code, {"code": code, "examples": [], **entry})
    return sorted(groups.values(), key=lambda group: (group["severity"], -group["count"], group["code"]))


def place(finding: Mapping[str, Any]) -> str:
    """Return where a finding is: the file's last two names, the line or the id."""
    file = "/".join(PurePath(str(finding["file"])).parts[-2:])
    if finding.get("line") is not None:
        return f"{file}, line {finding['line']}"
    return f"{file}, id {finding['item']}" if finding.get("item") is not None else file


def class_balance(split: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each class the images and objects of both sides, and the sides' bars as shares of the largest."""
    classes = split.get("classes", {})
    most = max((max(e["training_images"], e["validation_images"]) for e in classes.values()), default=1) or 1
    return [
        {
            "name": name,
            **entry,
            "training_bar": entry["training_images"] / most,
            "validation_bar": entry["validation_images"] / most,
        }
        for name, entry in classes.items()
    ]


def lineage(settings: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model came from: names, hashes, seeds, weights."""
    weights = settings.get("weights", {})
    found = {
        "job": settings.get("job"),
        "trial": settings.get("trial"),
        "seed": settings.get("hyperparameters", {}).get("random_seed"),
        "data hash": split.get("data_hash"),
        "split hash": settings.get("split_hash"),
        "training side": split.get("training", {}).get("hash"),
        "validation side": split.get("validation", {}).get("hash"),
        "pretrained weights": weights_source(weights),
        "weights SHA-256": weights.get("sha256"),
        "weights licence": weights.get("licence"),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def weights_source(weights: Mapping[str, Any]) -> str:
    """Return `kind: file name`, without the folder of a user's own file."""
    kind, _, name = str(weights.get("source", "")).partition(":")
    return f"{kind}: {PurePath(name).name}" if name else kind
