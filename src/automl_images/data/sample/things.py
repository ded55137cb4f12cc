"""What stands in the fridge: the four kinds to be found, and clutter that is not.

Owns sizes, profiles, colours and prints. Every draw comes from the generator that the caller hands in; Python's
`random.Random` gives the same numbers in every version.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from random import Random

import numpy as np

from automl_images.data.sample.bodies import (
    Colour,
    Field,
    Light,
    Print,
    Sprite,
    Surface,
    ball,
    box,
    round_shade,
    to_sprite,
    turned,
)

Maker = Callable[[Random, float, Light], Sprite]
"""Makes a thing of a random look; the number is pixels per centimetre."""

_METAL: Colour = (0.74, 0.75, 0.77)
_WHITE: Colour = (0.95, 0.95, 0.93)

_FRUITS = [
    (0.0, 0.85, 0.75, 1.05),  # apples
    (0.27, 0.7, 0.7, 1.05),
    (0.08, 0.95, 0.95, 1.0),  # orange
    (0.15, 0.85, 0.95, 1.3),  # lemon
    (0.08, 0.25, 0.92, 0.8),  # egg
]
"""Hue, saturation, value, and width over height."""


def can(rng: Random, scale: float, light: Light) -> Sprite:
    """Return a drinks can: a printed cylinder with tapered ends and a metal top with a tab."""
    tall = rng.uniform(11.5, 15.5)
    height, width = round(tall * scale), round(rng.uniform(6.0, 6.9) * scale)
    taper = [(0.0, 0.84), (0.05, 0.97), (0.07, 1.0), (0.94, 1.0), (1.0, 0.86)]
    surface = turned(height, width, taper, light)
    colour = _label(rng, vivid(rng), None)(surface.across, surface.down)
    colour[(surface.down < 0.035) | (surface.down > 0.965)] = _METAL
    shade, shine = round_shade(surface.across, light, gloss=0.9)
    colour = colour * shade[:, :, None] + shine[:, :, None]
    radius = np.hypot(surface.lid_x, surface.lid_y)
    lid = np.where(radius > 0.86, 0.92, 0.68) + 0.12 * surface.lid_x * light.side
    tab = (np.abs(surface.lid_x) < 0.22) & (np.abs(surface.lid_y - 0.1) < 0.45)
    colour[surface.lid] = (np.where(tab, 0.55, lid)[:, :, None] * np.asarray(_METAL) * 1.2)[surface.lid]
    mask = surface.body | surface.lid
    return to_sprite(colour, np.ones_like(lid), mask)


def carton(rng: Random, scale: float, light: Light) -> Sprite:
    """Return a drinks carton, mostly with a gable roof and a fin, else a brick with a flat top."""
    gable = rng.random() < 0.75
    height, width = round(rng.uniform(16, 21) * scale), round(rng.uniform(7.0, 9.5) * scale)
    depth = round(width * rng.uniform(0.25, 0.6))
    base = vivid(rng) if rng.random() < 0.55 else _pale(rng)
    front = _label(rng, base, vivid(rng))
    side = _text(rng, base)
    return box(height, width, depth, gable, light, front, side)


def milk_bottle(rng: Random, scale: float, light: Light) -> Sprite:
    """Return a glass bottle of milk: white body, sloping shoulders, clear neck, coloured cap."""
    height, width = round(rng.uniform(19, 24) * scale), round(rng.uniform(7.6, 9.2) * scale)
    shoulder = rng.uniform(0.36, 0.46)
    profile = [(0, 0.4), (0.075, 0.42), (0.08, 0.35), (0.17, 0.36), (shoulder - 0.1, 0.68), (shoulder, 0.96)]
    surface = turned(height, width, [*profile, (shoulder + 0.06, 1.0), (0.96, 1.0), (1.0, 0.92)], light)
    across, down = surface.across, surface.down
    milk = np.asarray((0.96, 0.95, rng.uniform(0.86, 0.93)))
    colour = np.broadcast_to(milk, (*down.shape, 3)).copy()
    clear = (down > 0.08) & (down < rng.uniform(0.13, 0.26))
    colour[clear] = (0.80, 0.85, 0.86)
    if rng.random() < 0.7:
        low = rng.uniform(shoulder + 0.08, 0.66)
        _wrap(colour, surface, low, low + rng.uniform(0.14, 0.26), rng.uniform(0.4, 0.8), _label(rng, vivid(rng), None))
    shade, shine = round_shade(across, light, gloss=0.75)
    colour = colour * (0.2 + 0.83 * shade)[:, :, None] + shine[:, :, None]
    _cap(colour, surface, 0.078, vivid(rng) if rng.random() < 0.8 else _METAL, light)
    alpha = np.where(clear, 0.62 + 0.35 * np.abs(across) ** 3, 1.0)
    return to_sprite(colour, alpha, surface.body | surface.lid)


def water_bottle(rng: Random, scale: float, light: Light) -> Sprite:
    """Return a clear plastic bottle of water: ribs, a water line, a paper band, a screw cap."""
    height, width = round(rng.uniform(20, 27) * scale), round(rng.uniform(6.2, 7.8) * scale)
    neck, shoulder = rng.uniform(0.36, 0.44), rng.uniform(0.24, 0.34)
    places = np.linspace(shoulder, 0.96, 60)
    ribs = 1 - rng.uniform(0.02, 0.05) * (0.5 + 0.5 * np.sin(places * rng.uniform(60, 110)))
    profile = [(0.0, neck), (0.065, neck), (0.07, neck + 0.08), (0.085, neck + 0.08), (0.09, neck - 0.04)]
    profile += [(0.12, neck - 0.02), *zip(places, ribs, strict=True), (1.0, 0.86)]
    surface = turned(height, width, profile, light)
    across, down = surface.across, surface.down
    tint = np.asarray(rng.choice([(0.72, 0.86, 0.94), (0.66, 0.82, 0.95), (0.72, 0.90, 0.84), (0.80, 0.86, 0.90)]))
    level = rng.uniform(0.10, 0.26)
    colour = np.where((down > level)[:, :, None], tint * 0.93, np.minimum(tint + 0.1, 1.0))
    colour[np.abs(down - level) < 0.006] *= 0.8
    wave = 0.94 + 0.10 * np.sin(down * rng.uniform(60, 110))
    alpha = (np.where(down > level, 0.50, 0.34) + 0.45 * np.abs(across) ** 2.5) * wave
    colour *= wave[:, :, None]
    if rng.random() < 0.85:
        low, size = rng.uniform(0.36, 0.5), rng.uniform(0.14, 0.26)
        cool = colorsys.hsv_to_rgb(rng.uniform(0.48, 0.68), rng.uniform(0.3, 0.9), rng.uniform(0.6, 0.95))
        paper = cool if rng.random() < 0.75 else vivid(rng)
        band = _wrap(colour, surface, low, low + size, 1.0, _label(rng, paper, None))
        alpha = np.where(band, 0.97, alpha)
    shade, shine = round_shade(across, light, gloss=1.0)
    colour = colour * (0.35 + 0.68 * shade)[:, :, None] + shine[:, :, None]
    capped = _cap(colour, surface, 0.068, vivid(rng) if rng.random() < 0.6 else _WHITE, light)
    alpha = np.where(capped, 1.0, np.maximum(alpha, np.clip(shine, 0, 0.9)))
    return to_sprite(colour, alpha, surface.body | surface.lid)


def jar(rng: Random, scale: float, light: Light) -> Sprite:
    """Return clutter: a low jam jar with a lid, or a yoghurt tub."""
    tub = rng.random() < 0.5
    height, width = round(rng.uniform(6, 10) * scale), round(rng.uniform(7, 9.5) * scale)
    straight = [(0.0, 0.9), (0.2, 0.9), (0.22, 0.8), (0.3, 1.0), (0.95, 1.0), (1.0, 0.9)]
    surface = turned(height, width, [(0.0, 1.0), (1.0, 0.74)] if tub else straight, light)
    content = _pale(rng) if tub else colorsys.hsv_to_rgb(rng.uniform(0, 0.12), 0.85, rng.uniform(0.35, 0.7))
    colour = np.broadcast_to(np.asarray(content), (*surface.down.shape, 3)).copy()
    _wrap(colour, surface, 0.45, 0.85, 1.0 if tub else 0.55, _label(rng, vivid(rng) if tub else _pale(rng), None))
    shade, shine = round_shade(surface.across, light, gloss=0.2 if tub else 0.8)
    colour = colour * shade[:, :, None] + shine[:, :, None]
    _cap(colour, surface, 0.03 if tub else 0.21, _METAL if tub else vivid(rng), light)
    return to_sprite(colour, np.ones_like(shade), surface.body | surface.lid)


def fruit(rng: Random, scale: float, light: Light) -> Sprite:
    """Return clutter: an apple, an orange, a lemon or an egg."""
    hue, saturation, value, aspect = rng.choice(_FRUITS)
    height = round(rng.uniform(5, 8) * scale)
    skin = np.asarray([[rng.random() for _ in range(24)] for _ in range(24)])
    tone = colorsys.hsv_to_rgb((hue + rng.uniform(-0.02, 0.02)) % 1, saturation, value)
    return ball(height, round(height * aspect), tone, skin, light)


def packet(rng: Random, scale: float, light: Light) -> Sprite:
    """Return clutter: a low box such as butter or leftovers."""
    height, width = round(rng.uniform(3.5, 7) * scale), round(rng.uniform(9, 15) * scale)
    base = _pale(rng) if rng.random() < 0.6 else vivid(rng)
    paint = _label(rng, base, vivid(rng))
    return box(height, width, round(width * rng.uniform(0.1, 0.3)), False, light, paint, _text(rng, base))


KINDS: dict[str, Maker] = {"can": can, "carton": carton, "milk_bottle": milk_bottle, "water_bottle": water_bottle}
"""What is annotated, by class name, in alphabetical order."""

CLUTTER: tuple[Maker, ...] = (jar, fruit, packet)
"""What is not."""


def vivid(rng: Random) -> Colour:
    """Return a strong colour of any hue."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.55, 0.95), rng.uniform(0.4, 0.9))


def _pale(rng: Random) -> Colour:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.03, 0.25), rng.uniform(0.8, 0.97))


def _label(rng: Random, base: Colour, accent: Colour | None) -> Print:
    """Return a print: a ground with a shape in another colour and a block of lettering."""
    other = np.asarray(accent or (_WHITE if rng.random() < 0.6 else vivid(rng)))
    kind = rng.choice(["bands", "wave", "disc", "diagonal", "fields"])
    a, b, c = rng.uniform(0.15, 0.4), rng.uniform(0.55, 0.85), rng.uniform(-0.3, 0.3)
    lettering = _lettering(rng, rng.uniform(0.3, 0.6), rng.uniform(0.12, 0.25))

    def paint(across: Field, down: Field) -> Field:
        shapes = {
            "bands": (np.abs(down - a) < 0.07) | (np.abs(down - b) < 0.10),
            "wave": down > b - 0.12 + 0.1 * np.sin(3.5 * across + 9 * c),
            "disc": (across - c) ** 2 + ((down - 0.45) * 2.6) ** 2 < 0.32,
            "diagonal": np.sin((down * 2.2 + across * (0.5 + c)) * 7) > 0.45,
            "fields": (across > c) ^ (down > b),
        }
        colour = np.where(shapes[kind][:, :, None], other, np.asarray(base))
        ink = lettering(across, down)[:, :, None]
        dark = np.asarray(base) * 0.25 if sum(base) > 1.4 else np.asarray(_WHITE)
        return np.asarray(np.where(ink, dark, colour))

    return paint


def _text(rng: Random, base: Colour) -> Print:
    """Return the print of a back: a darker ground with small lettering."""
    lettering = _lettering(rng, 0.35, 0.5)
    ground = np.asarray(base)

    def paint(across: Field, down: Field) -> Field:
        return np.asarray(np.where(lettering(across, down)[:, :, None], ground * 0.6, ground))

    return paint


def _lettering(rng: Random, top: float, size: float) -> Callable[[Field, Field], np.ndarray]:
    """Return where the ink of two to four lines of words lies."""
    lines = rng.randint(2, 4)
    words = np.asarray([[rng.random() < 0.68 for _ in range(24)] for _ in range(lines)])

    def ink(across: Field, down: Field) -> np.ndarray:
        place = (down - top) / size * lines
        line = np.clip(place.astype(int), 0, lines - 1)
        column = np.clip(((across + 0.62) / 1.24 * 24).astype(int), 0, 23)
        written = words[line, column] & (place - line < 0.62)
        return np.asarray(written & (place >= 0) & (place < lines) & (np.abs(across) < 0.62))

    return ink


def _wrap(colour: Field, surface: Surface, top: float, bottom: float, reach: float, paint: Print) -> np.ndarray:
    """Print a label on part of a mantle, in place, and return where it is."""
    band = (surface.down > top) & (surface.down < bottom) & (np.abs(surface.across) < reach)
    printed = paint(np.clip(surface.across / reach, -1, 1), np.clip((surface.down - top) / (bottom - top), 0, 1))
    colour[band] = printed[band]
    return np.asarray(band)


def _cap(colour: Field, surface: Surface, bottom: float, tone: Colour, light: Light) -> np.ndarray:
    """Put a cap with grooves on a body, in place, and return where it is."""
    cap = (surface.body & (surface.down < bottom)) | surface.lid
    shade, _ = round_shade(surface.across, light, gloss=0.3)
    grooves = np.where(surface.lid, 1.12, 0.93 + 0.07 * np.sin(surface.across * 40)) * np.where(surface.lid, 1.0, shade)
    colour[cap] = (grooves[:, :, None] * np.asarray(tone))[cap]
    return np.asarray(cap)
