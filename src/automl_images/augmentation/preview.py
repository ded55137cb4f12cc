"""A picture of what a plan does to training images, for a person to check before hours of training.

Every row is one training image: as it is, and a few times augmented, with its objects drawn or its classes written.
What is wrong with boxes, masks, classes or the plan is seen here at a glance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from automl_images.augmentation.build import Augmentation, Load, build
from automl_images.augmentation.draws import generator_for
from automl_images.augmentation.plan import AugmentationPlan
from automl_images.augmentation.sample import Sample
from automl_images.core.errors import DataError
from automl_images.data.drawing import Colour, class_colour, draw_boxes, draw_masks, font, text_colour

COLUMNS = 4
"""The original and three augmented versions."""

CELL = 320
GAP = 12
WIDTH = COLUMNS * (CELL + GAP) + GAP
PREVIEW_SIZE = 640
"""Stands in for the model's image size where the plan leaves it open, pixels."""

_CAPTION_LINES = 3
_CAPTION_SIZE = 16

_PAPER, _INK, _FAINT, _BACK = (255, 255, 255), (30, 34, 40), (110, 116, 124), (238, 240, 243)


def preview(
    load: Load,
    count: int,
    plan: AugmentationPlan,
    classes: Sequence[str],
    *,
    images: int = 12,
    seed: int = 0,
    captions: Callable[[int], str] | None = None,
) -> Image.Image:
    """Return a grid of training images, each followed by augmented versions of it.

    Args:
        load: reads training sample `index`, or gives None.
        count: of training samples.
        plan: what is done to them.
        classes: sorted class names; the index is the label.
        images: how many augmented pictures, rounded up to full rows.
        seed: same seed, same picture.
        captions: gives what is written on training image `index`, for example its classes.

    Raises:
        DataError: no training image can be read.
    """
    chosen = _chosen(load, count, -(-images // (COLUMNS - 1)), seed, objects=captions is None)
    if not chosen:
        raise DataError(f"None of the {count} training images can be read, so there is nothing to preview.")
    rows = _rows(chosen, build(plan, image_size=PREVIEW_SIZE), load, count, seed)
    shown = sorted({int(label) for row in rows for cell in row if cell is not None for label in cell.labels})
    legend = [(classes[label], class_colour(label)) for label in shown]
    top = _write_head(ImageDraw.Draw(Image.new("RGB", (WIDTH, 1))), plan, legend)  # measures
    page = Image.new("RGB", (WIDTH, top + len(rows) * (CELL + GAP)), _PAPER)
    _write_head(ImageDraw.Draw(page), plan, legend)
    for y, ((index, _), row) in enumerate(zip(chosen, rows, strict=True)):
        for x, sample in enumerate(row):
            cell = _cell(sample, classes)
            if captions is not None and x == 0:
                _write_caption(cell, captions(index))
            page.paste(cell, (GAP + x * (CELL + GAP), top + y * (CELL + GAP)))
    return page


def _chosen(load: Load, count: int, wanted: int, seed: int, *, objects: bool) -> list[tuple[int, Sample]]:
    """Return indices and samples of training images to show; with `objects` those that have some come first."""
    chosen: list[tuple[int, Sample]] = []
    empty: list[tuple[int, Sample]] = []
    for index in torch.randperm(count, generator=generator_for(seed)).tolist():
        sample = load(index)
        if sample is not None:
            (empty if objects and not len(sample) else chosen).append((index, sample))
        if len(chosen) == wanted or len(chosen) + len(empty) >= 4 * wanted:
            break
    return (chosen + empty)[:wanted]


def _rows(
    chosen: Sequence[tuple[int, Sample]], augmentation: Augmentation, load: Load, count: int, seed: int
) -> list[list[Sample | None]]:
    """Return rows of original and augmented samples."""
    return [
        [sample, *(augmentation(load, index, count, generator_for(seed, index, n)) for n in range(1, COLUMNS))]
        for index, sample in chosen
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
    colours = [class_colour(label) for label in labels]
    if objects.masks is not None:
        picture = draw_masks(picture, objects.masks, colours)
    drawn = draw_boxes(picture, objects.boxes * scale, names, colours=colours)
    tile.paste(Image.fromarray(drawn), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return tile


def _write_caption(cell: Image.Image, text: str) -> None:
    """Write `text` on a dark strip at the bottom of a cell; what does not fit ends in an ellipsis."""
    lines = _wrapped(text, _CAPTION_SIZE, CELL - 2 * GAP)
    if len(lines) > _CAPTION_LINES:
        lines = [*lines[: _CAPTION_LINES - 1], f"{lines[_CAPTION_LINES - 1]} …"]
    high = round(1.4 * _CAPTION_SIZE)
    y = CELL - high * len(lines) - GAP // 2
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, y - GAP // 2, CELL, CELL), fill=_INK)
    for line in lines:
        draw.text((GAP, y), _shortened(line, CELL - 2 * GAP), fill=_PAPER, font=font(_CAPTION_SIZE))
        y += high


def _shortened(line: str, width: int) -> str:
    """Return a line that is at most `width` pixels wide."""
    letters = font(_CAPTION_SIZE)
    if letters.getlength(line) <= width:
        return line
    ends = range(len(line), 0, -1)
    return next((f"{line[:end]}…" for end in ends if letters.getlength(f"{line[:end]}…") <= width), "…")


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


def _wrapped(text: str, size: int, width: int = WIDTH - 2 * GAP) -> list[str]:
    """Return `text` in lines of at most `width` pixels, single words aside."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
