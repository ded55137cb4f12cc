"""The report of a run: one self-contained HTML page without script, that loads nothing from anywhere.

Owns what the page is given and how it is put together; texts and layout stand in `templates/`. Names and messages from
the user's data are escaped by the templates (autoescape), and a content security policy forbids the page everything but
its own style and its embedded pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image

from automl_images.core.commands import kedro_command
from automl_images.core.errors import unknown_name
from automl_images.reporting import sections, svg
from automl_images.reporting.advice import advice
from automl_images.reporting.charts import GREY_SHOWN, PALETTE, WORST_SHOWN, evaluation_panels, words
from automl_images.reporting.command import reproduce
from automl_images.reporting.confusion import confusion_rows, most_confused
from automl_images.reporting.environment import environment
from automl_images.reporting.learning import learning_panels, stop_notes
from automl_images.reporting.pictures import jpeg_uri
from automl_images.reporting.sweep_panels import sweep_section

PREVIEW_WIDTH = 1400
PICTURE_WIDTH = 640
SAMPLE_WIDTH = 480


@dataclasses.dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything the report shows.

    Attributes:
        task: pipeline name.
        options: the job's parameters that differ from the defaults.
        conversion: `training` and `validation` (or None), each with `summary` and `findings`.
        split: report of the split, see `data.splitting.Split`.
        samples: training images with their labels: lists of `image` (uint8 RGB array, objects drawn) and `caption`.
        augmentation_preview: grid of augmented samples.
        trials: leaderboard, a row a trial.
        curves: columns `trial`, `model_name`, `epoch`, `metric`, `value`.
        best_trial: `job`, `trial`, `model_name`, `primary_metric`, `best_epoch`, `epochs`, `seconds`, and in
            AutoMode `comparison` with the default recipe, whose `sentence` is shown, and `automode`, the recipes.
        settings: of the best model, the content of settings.json.
        parity: torch against onnxruntime, see `export.parity.ParityReport.as_dict`.
        metrics: flat numbers by name; -1 or None where undefined.
        evaluation: tables and curves, and `interval`; the page shows what it holds, see `charts.evaluation_panels`,
            `sections.class_table`, `confusion.confusion_rows`.
        pictures: `best` and `worst` predictions: lists of `image` (uint8 RGB array) and `caption`.
    """

    task: str
    options: Mapping[str, Any]
    conversion: Mapping[str, Any]
    split: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    augmentation_preview: Image.Image
    trials: pd.DataFrame
    curves: pd.DataFrame
    best_trial: Mapping[str, Any]
    settings: Mapping[str, Any]
    parity: Mapping[str, Any]
    metrics: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    pictures: Mapping[str, Sequence[Mapping[str, Any]]]


def render_report(content: ReportContent) -> str:
    """Return the page as HTML text."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("automl_images.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "number": sections.number,
        "setting": sections.setting,
        "words": words,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "breakable": _breakable,
    }
    return templates.get_template("report.html.j2").render(_view(content))


def _breakable(name: Any) -> Markup:
    """Return a name that may be broken after an underscore, escaped (by `join`)."""
    return Markup("_<wbr>").join(str(name).split("_"))


def _view(content: ReportContent) -> dict[str, Any]:
    """Return the names that the templates know."""
    primary = content.best_trial["primary_metric"]
    sides = sections.data_sides(content.conversion)
    weights = content.settings.get("weights", {})
    return {
        "content": content,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "headline": _headline(content, primary),
        "advice": _advice(content, sides),
        "sides": sides,
        "samples": _embedded(content.samples, SAMPLE_WIDTH),
        "balance": sections.class_balance(content.split),
        "preview": jpeg_uri(content.augmentation_preview, PREVIEW_WIDTH),
        "leaderboard": sections.leaderboard(content.trials, primary, content.best_trial["trial"]),
        "weights": {**weights, "shown": sections.weights_source(weights)},
        "learning": [
            svg.drawing(panel) for panel in learning_panels(content.curves, primary, stop_notes(content.trials))
        ],
        "automode": sections.automode_table(content.best_trial),
        "sweep": sweep_section(content.trials, primary, content.best_trial.get("sweep_ended", "")),
        "metrics": sections.metric_rows(content.metrics, primary),
        "objects": sections.has_objects(content.conversion),
        "classes": sections.class_table(content.evaluation),
        "evaluated": [svg.drawing(panel) for panel in evaluation_panels(content.evaluation)],
        "chart_note": _chart_note(len(content.settings.get("classes", []))),
        "confusion": _confusion(content.evaluation),
        "parity": sections.parity_table(content.parity),
        "pictures": {side: _embedded(items, PICTURE_WIDTH) for side, items in content.pictures.items()},
        "environment": environment(),
        "kedro": kedro_command(),
        "reproduce": reproduce(content.task, content.options),
        "lineage": sections.lineage(content.settings, content.split),
    }


def _headline(content: ReportContent, primary: str) -> dict[str, Any]:
    if primary not in content.metrics:
        raise KeyError(unknown_name("metric", primary, content.metrics))
    interval = content.evaluation.get("interval") or {}
    return {
        "metric": primary,
        "value": content.metrics[primary],
        "interval": interval if interval.get("low", -1) >= 0 else None,
        "training_images": content.split.get("training", {}).get("images"),
        "validation_images": content.split.get("validation", {}).get("images"),
        "classes": content.settings.get("classes", []),
        "threshold": content.evaluation.get("operating_threshold"),
        "time": sections.duration(float(content.trials["seconds"].sum())),
    }


def _chart_note(classes: int) -> str:
    if classes <= len(PALETTE):
        return ""
    others = classes - WORST_SHOWN
    grey = f"the next {GREY_SHOWN}" if others > GREY_SHOWN else "the others"
    return f"Of {classes} classes the {WORST_SHOWN} weakest have a colour; {grey} are grey."


def _confusion(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    columns, rows = confusion_rows(evaluation)
    shown, kept = most_confused(columns, rows)
    return {"columns": shown, "rows": kept, "left_out": len(rows) - len(kept)}


def _advice(content: ReportContent, sides: Sequence[Mapping[str, Any]]) -> list[str]:
    findings = {entry["code"]: entry for side in sides for entry in side["findings"]}
    learnt = {name: entry["training_images"] for name, entry in content.split.get("classes", {}).items()}
    return advice(content.settings, content.best_trial, len(content.trials), content.evaluation, findings, learnt)


def _embedded(items: Sequence[Mapping[str, Any]], widest: int) -> list[dict[str, str]]:
    return [{"source": jpeg_uri(item["image"], widest), "caption": item["caption"]} for item in items]
