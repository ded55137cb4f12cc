"""Solids as sprites: turned bodies (bottles, cans), boxes and balls, shaded by one light.

Owns geometry and shading; `things.py` gives them profiles, colours and prints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from automl_images.core.types import ImageArray

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]
Print = Callable[[Field, Field], Field]
"""Colour `(h, w, 3)` in 0..1 of a surface at the coordinates across (-1..1) and down (0..1)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn thing, its lowest point at the bottom row.

    Attributes:
        rgba: `(h, w, 4)` uint8; alpha below 255 lets the background shine through.
        mask: `(h, w)` bool, where the thing is, also where it is transparent.
    """

    rgba: ImageArray
    mask: Mask


@dataclasses.dataclass(frozen=True, slots=True)
class Light:
    """Where the light comes from.

    Attributes:
        side: -1 from the left to 1 from the right.
        pitch: how far the camera looks down: half the height of a circle's ellipse over half its width.
        hardness: strength of highlights, 0..1.
    """

    side: float
    pitch: float
    hardness: float


@dataclasses.dataclass(frozen=True, slots=True)
class Surface:
    """The visible surface of a turned body on its pixel grid, all `(h, w)`.

    Attributes:
        across: -1 at the left contour, 1 at the right one, as an angle: equal steps are equal lengths of print.
        down: 0 at the top rim, 1 at the bottom.
        body: where the mantle is seen; lid: where the top face is seen.
        lid_x, lid_y: coordinates -1..1 on the top face.
    """

    across: Field
    down: Field
    body: Mask
    lid: Mask
    lid_x: Field
    lid_y: Field


def turned(height: int, width: int, profile: Sequence[tuple[float, float]], light: Light) -> Surface:
    """Return the surface of a body turned around its upright axis.

    Args:
        height: pixels from the top rim's centre to the bottom's centre.
        width: pixels of the widest place.
        profile: pairs of place (0 top, 1 bottom) and half width relative to the widest place.
        light: gives the camera's pitch.
    """
    radius, squash = width / 2, light.pitch * width / 2
    places, widths = zip(*profile, strict=True)
    ys, xs = np.mgrid[0 : height + int(2 * squash) + 1, 0 : width + 1].astype(np.float64)
    xs, ys = xs - radius, ys - squash
    down = ys / height
    across = np.zeros_like(down)
    for _ in range(4):  # the front of a circle hangs lower than its centre: solve for the place on the mantle
        half = np.interp(down, places, widths)
        across = xs / (radius * half)
        down = (ys - squash * half * np.sqrt(np.clip(1 - across**2, 0, 1))) / height
    body = (np.abs(across) <= 1) & (down >= 0) & (down <= 1)
    lid_x, lid_y = xs / (radius * widths[0]), ys / max(squash * widths[0], 1e-6)
    lid = (lid_x**2 + lid_y**2 <= 1) & ~body
    angle = np.arcsin(np.clip(across, -1, 1)) / (np.pi / 2)
    return Surface(angle, np.clip(down, 0, 1), body, lid, lid_x, lid_y)


def round_shade(across: Field, light: Light, gloss: float) -> tuple[Field, Field]:
    """Return the diffuse factor and the highlight of a mantle.

    Args:
        across: -1..1 along the mantle.
        light: its side moves the bright part.
        gloss: 0 matt paper to 1 metal or glass.
    """
    lit = np.cos((across - 0.45 * light.side) * np.pi / 2)
    diffuse = 0.42 + 0.62 * np.clip(lit, 0, 1)
    streak = np.exp(-(((across - 0.5 * light.side) / 0.09) ** 2)) + 0.45 * np.exp(
        -(((across + 0.62 * light.side) / 0.06) ** 2)
    )
    rim = np.clip(np.abs(across) - 0.86, 0, 1) / 0.14
    return diffuse * (1 - 0.35 * gloss * rim), streak * gloss * (0.25 + 0.6 * light.hardness)


def to_sprite(colour: Field, alpha: Field, mask: Mask) -> Sprite:
    """Return a sprite of `colour` `(h, w, 3)` and `alpha` `(h, w)`, both 0..1, cut to the bounds of `mask`."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rgba = np.dstack([colour, np.where(mask, alpha, 0)])[part]
    return Sprite(np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8), mask[part])


def box(height: int, width: int, depth: int, gable: bool, light: Light, front: Print, side: Print) -> Sprite:
    """Return a carton seen from the front and a little from the side that the light does not come from.

    Args:
        height: pixels of the upright front, without the roof.
        width: pixels of the front.
        depth: pixels that the side face takes.
        gable: a folded roof with a fin, else a flat top.
        light: gives the pitch and which face is darker.
        front: print of the front and the roof.
        side: print of the side.
    """
    rise = round(light.pitch * depth)
    roof, fin = (round(0.22 * width) + rise, max(2, round(0.09 * width))) if gable else (rise, 0)
    top = roof + fin
    rows, columns = top + height + 1, width + depth + 1
    faces = _box_faces(height, width, depth, rise, roof, fin, gable)
    ys, xs = np.mgrid[0:rows, 0:columns].astype(np.float64)
    colour, mask = np.zeros((rows, columns, 3)), np.zeros((rows, columns), np.bool_)
    across, down = xs / width * 2 - 1, np.clip((ys - top) / height, 0, 1)
    beside = (xs - width) / max(depth, 1)
    for name, corners, brightness in faces:
        inside = _polygon(corners, rows, columns)
        if name == "side":
            paint = side(np.clip(beside * 2 - 1, -1, 1), np.clip((ys - top + rise * beside) / height, 0, 1))
        else:
            paint = front(np.clip(across, -1, 1), down if name == "front" else np.full_like(down, 0.02))
        fade = brightness * (1 + 0.07 * light.side * across - 0.10 * down)
        colour[inside] = (paint * fade[:, :, None])[inside]
        mask |= inside
    if light.side > 0:
        colour, mask = colour[:, ::-1], mask[:, ::-1]
    return to_sprite(colour, np.ones_like(across), mask)


_Face = tuple[str, list[tuple[float, float]], float]


def _box_faces(height: int, width: int, depth: int, rise: int, roof: int, fin: int, gable: bool) -> list[_Face]:
    top = roof + fin
    low, half = top + height, depth / 2
    faces: list[_Face] = [
        ("side", [(width, top), (width + depth, top - rise), (width + depth, low - rise), (width, low)], 0.66),
        ("front", [(0, top), (width, top), (width, low), (0, low)], 0.97),
    ]
    if not gable:
        return [*faces, ("roof", [(0, top), (depth, top - rise), (width + depth, top - rise), (width, top)], 1.08)]
    return [
        *faces,
        ("gable", [(width, top), (width + depth, top - rise), (width + half, fin)], 0.55),
        ("roof", [(0, top), (width, top), (width + half, fin), (half, fin)], 1.1),
        ("fin", [(half, 0), (width + half, 0), (width + half, fin), (half, fin)], 0.86),
    ]


def _polygon(corners: list[tuple[float, float]], rows: int, columns: int) -> Mask:
    canvas = Image.new("1", (columns, rows))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    return np.array(canvas)


def ball(height: int, width: int, colour: Colour, speckle: Field, light: Light) -> Sprite:
    """Return a fruit: an ellipsoid of `colour`, with `speckle` (any `(n, n)` in 0..1) as its skin."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = (xs + 0.5) / width * 2 - 1, (ys + 0.5) / height * 2 - 1
    inside = x**2 + y**2 <= 1
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    lit = np.clip(0.45 * light.side * x - 0.55 * y + 0.7 * z, 0, 1)
    rows, columns = (np.clip((c + 1) / 2, 0, 0.999) * len(speckle) for c in (y, x))
    skin = speckle[rows.astype(int), columns.astype(int)]
    shine = np.exp(-(((x - 0.35 * light.side) ** 2 + (y + 0.45) ** 2) / 0.025)) * 0.5 * light.hardness
    shade = (0.35 + 0.75 * lit) * (0.86 + 0.2 * skin)
    return to_sprite(np.asarray(colour) * shade[:, :, None] + shine[:, :, None], np.ones_like(x), inside)
