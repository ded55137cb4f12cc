"""Who was taken for whom: the confusion matrix ready to show, and the part of a large one worth showing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_CLASSES = 30
OTHERS = "others"
BACKGROUND = "background"

Rows = list[dict[str, Any]]


def confusion_rows(evaluation: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Return the matrix ready to show: column names, and rows of `name`, `counts` and `shares` (of the row, in [0, 1]).

    There may be one more column than classes, of objects that were missed, and then a row `background` of predictions
    where nothing was annotated, with no count in that column. Without a matrix both are empty.
    """
    matrix = evaluation.get("confusion_matrix")
    if not matrix:
        return [], []
    columns = list(matrix["class_labels"])
    rows = [*zip(columns, matrix["matrix"], strict=False)]
    if BACKGROUND in matrix:
        rows.append((BACKGROUND, [*matrix[BACKGROUND], None]))
    return columns, [_row(name, counts) for name, counts in rows]


def most_confused(columns: Sequence[str], rows: Rows, limit: int = MOST_CLASSES) -> tuple[list[str], Rows]:
    """Return the classes with most mistakes, as annotated or as predicted class, in the order given.

    A column `others` sums up what was predicted as one of the classes left out, so that rows keep their sums.

    Args:
        columns, rows: of `confusion_rows`.
        limit: most classes; a matrix with no more is returned as it is.
    """
    classes = sum(row["counts"][-1] is not None for row in rows)
    if classes <= limit:
        return list(columns), rows
    mistakes = [_mistakes(i, rows[:classes]) for i in range(classes)]
    chosen = sorted(sorted(range(classes), key=lambda i: -mistakes[i])[:limit])
    left = [i for i in range(classes) if i not in chosen]
    beyond = list(range(classes, len(columns)))
    kept = [rows[i] for i in [*chosen, *range(classes, len(rows))]]
    names = [*(columns[i] for i in chosen), OTHERS, *(columns[i] for i in beyond)]
    return names, [_row(row["name"], _regrouped(row["counts"], chosen, left, beyond)) for row in kept]


def _regrouped(
    counts: Sequence[int | None], chosen: Sequence[int], left: Sequence[int], beyond: Sequence[int]
) -> list[int | None]:
    others = sum(counts[i] or 0 for i in left)
    return [*(counts[i] for i in chosen), others, *(counts[i] for i in beyond)]


def _mistakes(number: int, rows: Rows) -> int:
    """Return how often a class was not recognised, or said where another one was annotated."""
    own = rows[number]["counts"]
    said = sum(row["counts"][number] for row in rows)
    return int(sum(own) + said - 2 * own[number])


def _row(name: str, counts: Sequence[int | None]) -> dict[str, Any]:
    total = sum(count or 0 for count in counts) or 1
    return {"name": name, "counts": counts, "shares": [round((count or 0) / total, 4) for count in counts]}
