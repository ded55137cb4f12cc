"""One line of text for a `progress` or `epoch` event of a training. No torch here: parents of trials show it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def progress_line(event: Mapping[str, Any]) -> str:
    """Return what a person wants to know of an event, in one line.

    Args:
        event: a `progress` or `epoch` event of `run.py`.

    Example:
        >>> progress_line({"event": "progress", "epoch": 3, "epochs": 15, "step": 40, "steps": 120,
        ...                "images_per_second": 11.6, "eta_seconds": 754})
        'epoch 3/15, step 40/120, 11.6 images/s, 12 min 34 s left'
    """
    parts = [f"epoch {event['epoch']}/{event['epochs']}"]
    if event.get("event") == "progress":
        parts.append(f"step {event['step']}/{event['steps']}")
    elif event.get("primary_metric") is not None:
        parts.append(f"{event['primary_metric_name']} {event['primary_metric']:.4f}" + (" (best)" * event["is_best"]))
    if event.get("log_loss_train") is not None:
        parts.append(f"loss {event['log_loss_train']:.4f}")
    if event.get("images_per_second"):
        parts.append(f"{event['images_per_second']:.1f} images/s")
    if event.get("eta_seconds") is not None:
        parts.append(f"{duration(event['eta_seconds'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units, as in `2 h 5 min`, `12 min 34 s`, `8 s`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
