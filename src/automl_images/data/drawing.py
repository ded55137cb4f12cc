"""Drawing boxes with their names, and masks, on pictures for people: the augmentation preview, the report.

Pillow only. Lines and letters follow the size of the picture, so that a thumbnail and a photo are both readable.
"""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from automl_images.core.types import ImageArray
from automl_images.data.boxes import box_area
from automl_images.data.masks import region_of
from automl_images.data.preprocessing import Placement, resize_masks

Colour = tuple[int, int, int]
_Area = tuple[float, float, float, float]

_PALETTE: tuple[Colour, ...] = (
    (230, 80, 50),
    (40, 130, 230),
    (60, 180, 75),
    (250, 190, 40),
    (225, 40, 225),
    (0, 225, 215),
    (120, 90, 0),
    (255, 150, 165),
    (150, 15, 180),
    (180, 225, 15),
    (0, 135, 105),
    (255, 0, 105),
    (90, 195, 240),
    (45, 75, 210),
    (240, 195, 135),
    (165, 45, 60),
    (225, 135, 255),
    (135, 150, 0),
    (0, 105, 150),
    (255, 135, 15),
)
"""Far from one another, from grey, white and black in CIELAB."""

_GOLDEN_RATIO = 0.618033988749895


def class_colour(index: int) -> Colour:
    """Return the RGB colour of class `index`: hand-picked for the first twenty, then hues that keep apart."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    hue = (index * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (index % 2), 0.75 + 0.2 * (index % 3) / 2)
    return round(red * 255), round(green * 255), round(blue * 255)


@functools.cache
def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return Pillow's own font at `size` pixels; it has Latin letters."""
    return ImageFont.load_default(size)


def draw_boxes(
    image: ImageArray,
    boxes: ArrayLike,
    names: Sequence[str],
    scores: ArrayLike | None = None,
    colours: Sequence[Colour] | None = None,
) -> ImageArray:
    """Return a copy of `image` with boxes and their names drawn on it.

    Large boxes are drawn first; each name stands where it hides no other name, if there is such a place.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        boxes: `(N, 4)` xyxy in pixels.
        names: N texts; an empty one leaves its box without a label.
        scores: `(N,)` in [0, 1], written behind the names as per cent.
        colours: N RGB colours; without them, a colour for each name in alphabetical order.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    texts = _texts(names, scores)
    paints = colours if colours is not None else _colours_of(names)
    order = np.argsort(-box_area(corners), kind="stable")
    line = max(2, round(min(picture.size) / 160))
    for i in order:
        draw.rectangle(_drawable(corners[i], picture), outline=paints[i], width=line)
    taken: list[_Area] = []
    for i in order[::-1]:  # small boxes choose their label's place first: they have the fewest
        if texts[i]:
            _label(draw, _drawable(corners[i], picture), texts[i], paints[i], taken)
    return np.asarray(picture).copy()


def draw_masks(
    image: ImageArray, masks: NDArray[np.bool_], colours: Sequence[Colour], alpha: float = 0.45
) -> ImageArray:
    """Return a copy of `image` with translucent masks on it, large ones below small ones.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        masks: `(N, h, w)` over the whole image, of any size.
        colours: N RGB colours.
        alpha: share of the colour inside of a mask, in [0, 1]; a mask's outline has its colour alone.
    """
    height, width = image.shape[:2]
    whole = Placement(1.0, 1.0, 0, 0, width, height)
    drawn = np.array(image)
    for i in np.argsort(-np.count_nonzero(masks, axis=(1, 2)), kind="stable"):
        [mask] = resize_masks(masks[i : i + 1], whole, height, width)
        region = region_of(mask)
        if region is not None:
            part, inside = drawn[region], mask[region]
            colour = np.asarray(colours[i], np.float32)
            part[inside] = np.round(part[inside] * np.float32(1 - alpha) + colour * np.float32(alpha)).astype(np.uint8)
            part[inside & ~_core(inside)] = colours[i]
    return drawn


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever reads better on `background` (luma of ITU-R BT.601)."""
    luma = 0.299 * background[0] + 0.587 * background[1] + 0.114 * background[2]
    return (0, 0, 0) if luma > 150 else (255, 255, 255)


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask `(h, w)` whose four neighbours belong to it too."""
    around = np.pad(mask, 1)
    return np.asarray(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])


def _texts(names: Sequence[str], scores: ArrayLike | None) -> list[str]:
    if scores is None:
        return list(names)
    return [f"{name} {score:.0%}" for name, score in zip(names, np.asarray(scores), strict=True)]


def _colours_of(names: Sequence[str]) -> list[Colour]:
    order = {name: i for i, name in enumerate(sorted(set(names)))}
    return [class_colour(order[name]) for name in names]


def _drawable(box: ArrayLike, picture: Image.Image) -> _Area:
    """Return a box inside the picture, with its sides at least a pixel long."""
    width, height = picture.size
    x0, y0, x1, y1 = (float(v) for v in np.asarray(box))
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, max(x0, min(x1, width - 1)), max(y0, min(y1, height - 1))


def _label(draw: ImageDraw.ImageDraw, box: _Area, text: str, colour: Colour, taken: list[_Area]) -> None:
    width, height = draw.im.size
    letters = font(max(10, round(min(width, height) / 26)))
    margin = max(2, round(min(width, height) / 200))
    wide, high = letters.getbbox(text)[2] + 2 * margin, _line_height(letters) + 2 * margin
    x0, y0, x1, y1 = box
    places = [(x0, y0 - high), (x1 - wide, y0 - high), (x0, y1), (x0, y0), (x1 - wide, y1 - high), (x0, y1 - high)]
    areas = [_inside(x, y, wide, high, width, height) for x, y in places]
    area = min(areas, key=lambda a: sum(_common(a, other) for other in taken))
    taken.append(area)
    draw.rectangle(area, fill=colour)
    draw.text((area[0] + margin, area[1] + margin), text, fill=text_colour(colour), font=letters)


def _line_height(letters: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> float:
    """Return the height of a line of text in pixels, the same whatever letters it has."""
    return letters.getbbox("Ágjy")[3]


def _inside(x: float, y: float, wide: float, high: float, width: int, height: int) -> _Area:
    x, y = max(0.0, min(x, width - wide)), max(0.0, min(y, height - high))
    return x, y, x + wide, y + high


def _common(a: _Area, b: _Area) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
