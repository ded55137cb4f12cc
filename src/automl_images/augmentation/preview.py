"""A picture of what a plan does to training images, for a person to check before hours of training.

Every row is one training image: as it is, and a few times augmented, with its objects drawn. What is wrong with boxes,
classes or the plan is seen here at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from automl_images.augmentation.build import Load, build
from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.plan import AugmentationPlan
from automl_images.augmentation.sample import Sample
from automl_images.core.errors import DataError
from automl_images.data.drawing import Colour, class_colour, draw_boxes, font, text_colour

COLUMNS = 4
"""The original and three augmented versions."""

CELL = 320
GAP = 12
WIDTH = COLUMNS * (CELL + GAP) + GAP
PREVIEW_SIZE = 640
"""Stands in for the model's image size where the plan leaves it open, pixels."""

_PAPER, _INK, _FAINT, _BACK = (255, 255, 255), (30, 34, 40), (110, 116, 124), (238, 240, 243)


def preview(
    load: Load,
    count: int,
    plan: AugmentationPlan,
    classes: Sequence[str],
    *,
    images: int = 12,
    seed: int = 0,
) -> Image.Image:
    """Return a grid of training images, each followed by augmented versions of it.

    Args:
        load: reads training sample `index`, or gives None.
        count: of training samples.
        plan: what is done to them.
        classes: sorted class names; the index is the label.
        images: how many augmented pictures, rounded up to full rows.
        seed: same seed, same picture.

    Raises:
        DataError: no training image can be read.
    """
    rows = _rows(load, count, plan, -(-images // (COLUMNS - 1)), seed)
    if not rows:
        raise DataError(f"None of the {count} training images can be read, so there is nothing to preview.")
    shown = sorted({int(label) for row in rows for cell in row if cell is not None for label in cell.labels})
    legend = [(classes[label], class_colour(label)) for label in shown]
    top = _write_head(ImageDraw.Draw(Image.new("RGB", (WIDTH, 1))), plan, legend)  # measures
    page = Image.new("RGB", (WIDTH, top + len(rows) * (CELL + GAP)), _PAPER)
    _write_head(ImageDraw.Draw(page), plan, legend)
    for y, row in enumerate(rows):
        for x, sample in enumerate(row):
            page.paste(_cell(sample, classes), (GAP + x * (CELL + GAP), top + y * (CELL + GAP)))
    return page


def _rows(load: Load, count: int, plan: AugmentationPlan, wanted: int, seed: int) -> list[list[Sample | None]]:
    """Return rows of original and augmented samples; images with objects come first."""
    augmentation = build(plan, image_size=PREVIEW_SIZE)
    chosen: list[tuple[int, Sample]] = []
    empty: list[tuple[int, Sample]] = []
    for index in torch.randperm(count, generator=generator_for(seed)).tolist():
        sample = load(index)
        if sample is not None:
            (chosen if len(sample) else empty).append((index, sample))
        if len(chosen) == wanted or len(chosen) + len(empty) >= 4 * wanted:
            break
    return [
        [sample, *(augmentation(load, index, count, generator_for(seed, index, n)) for n in range(1, COLUMNS))]
        for index, sample in (chosen + empty)[:wanted]
    ]


def _cell(sample: Sample | None, classes: Sequence[str]) -> Image.Image:
    """Return a sample with its objects drawn on a `CELL` x `CELL` tile; a dropped sample is an empty tile."""
    tile = Image.new("RGB", (CELL, CELL), _BACK)
    if sample is None:
        text = "dropped: an image cannot be read"
        ImageDraw.Draw(tile).text((CELL / 2, CELL / 2), text, fill=_FAINT, font=font(14), anchor="mm")
        return tile
    scale = CELL / max(sample.height, sample.width)
    size = max(1, round(sample.width * scale)), max(1, round(sample.height * scale))
    picture = np.asarray(Image.fromarray(sample.array()).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    objects = sample.to_objects()
    labels = [int(label) for label in objects.labels]
    names = [classes[label] for label in labels]
    drawn = draw_boxes(picture, objects.boxes * scale, names, colours=[class_colour(label) for label in labels])
    tile.paste(Image.fromarray(drawn), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return tile


def _write_head(draw: ImageDraw.ImageDraw, plan: AugmentationPlan, legend: Sequence[tuple[str, Colour]]) -> int:
    """Write title, plan, legend and column names at the top, and return where the pictures begin, pixels."""
    y = GAP
    for text, size, ink in (
        ("What training sees", 26, _INK),
        (f"Training images: {plan.describe()}.", 16, _INK),
        (plan.preprocessing, 16, _FAINT),
    ):
        for line in _wrapped(text, size):
            draw.text((GAP, y), line, fill=ink, font=font(size))
            y += round(1.4 * size)
    y = _write_legend(draw, legend, y + GAP // 2)
    for column in range(COLUMNS):
        caption = "as it is" if column == 0 else f"augmented {column}"
        draw.text((GAP + column * (CELL + GAP), y), caption, fill=_FAINT, font=font(15))
    return y + 24


def _write_legend(draw: ImageDraw.ImageDraw, legend: Sequence[tuple[str, Colour]], y: int) -> int:
    """Write the classes on coloured chips in as many lines as they need, and return where the next line begins."""
    letters, x, high = font(15), GAP, 24
    for name, colour in legend:
        wide = round(draw.textlength(name, font=letters)) + 16
        if x > GAP and x + wide > WIDTH - GAP:
            x, y = GAP, y + high + 6
        draw.rounded_rectangle((x, y, x + wide, y + high), radius=6, fill=colour)
        draw.text((x + 8, y + high / 2), name, fill=text_colour(colour), font=letters, anchor="lm")
        x += wide + 8
    return y + (high + GAP if legend else 0)


def _wrapped(text: str, size: int) -> list[str]:
    """Return `text` in lines that fit the page."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) > WIDTH - 2 * GAP and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
