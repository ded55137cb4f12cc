"""Findings and summaries as tables on a terminal. Text of strangers is shown as text, never as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from automl_images.core.types import Finding
from automl_images.data.findings import place


def findings_table(findings: Sequence[Finding], limit: int = 50) -> Table:
    """Return a table of the first `limit` findings; the caption says how many are not shown."""
    table = Table(title=counted(len(findings), "finding"), title_justify="left", show_lines=False)
    for column in ("severity", "code", "where", "finding", "action"):
        table.add_column(column, overflow="fold")
    for finding in findings[:limit]:
        style = "red" if finding.severity == "error" else "yellow"
        cells = (finding.code, where(finding), _message(finding), finding.action)
        table.add_row(Text(finding.severity, style=style), *(Text(cell) for cell in cells))
    if len(findings) > limit:
        table.caption = f"{len(findings) - limit} more are not shown"
    return table


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Return a table of what a summary (see `summary.summarise`) counts."""
    table = Table(title="Summary", title_justify="left", show_header=False)
    for key in ("images", "objects", "empty_images", "duplicate_images"):
        table.add_row(key.replace("_", " "), str(summary[key]))
    for name, counts in summary["classes"].items():
        table.add_row(
            Text(f"class {name}"), f"{counted(counts['images'], 'image')}, {counted(counts['objects'], 'object')}"
        )
    for name, values in summary.get("image_sizes", {}).items():
        table.add_row(f"image {name}", _spread(values))
    boxes = summary.get("box_sizes")
    if boxes:
        table.add_row("boxes", f"{boxes['small']} small, {boxes['medium']} medium, {boxes['large']} large")
        table.add_row("box side", _spread(boxes["side"]))
    for code, entry in summary["findings"].items():
        table.add_row(f"{entry['severity']} {code}", f"{entry['count']} ({entry['action']})")
    return table


def where(finding: Finding) -> str:
    """Return `file:line (item)` of a finding, without what is not known."""
    return place(finding.file, finding.line, finding.item)


def _message(finding: Finding) -> str:
    told = finding.value is None or finding.value in finding.message
    return finding.message if told else f"{finding.message} [{finding.value}]"


def counted(number: int, what: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _spread(values: Mapping[str, float]) -> str:
    return f"{values['min']:g} to {values['max']:g} pixels, median {values['median']:g}"
