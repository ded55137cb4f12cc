"""A photograph of a fridge shelf: where things stand, what hides what, light, and the camera.

Owns arrangement, background and finish. Gives a picture and, for every annotated thing, the outline of what is visible
of it.
"""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from automl_images.core.types import ImageArray
from automl_images.data.sample.bodies import Field, Light, Sprite
from automl_images.data.sample.outlines import polygons
from automl_images.data.sample.things import CLUTTER, KINDS, Maker

FINE = 2
"""Everything is drawn at this many pixels a pixel of the picture."""

_SOFT = 4
"""What is blurred is drawn this much coarser than the rest."""

_LEAST_VISIBLE = 0.3
_SIZES = ((320, 240), (240, 320), (320, 320), (320, 256), (256, 320))


@dataclasses.dataclass(frozen=True, slots=True)
class Thing:
    """An annotated thing: its class and the outlines (flat x, y lists, pixels) of its visible parts."""

    kind: str
    outlines: list[list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """A finished picture `(H, W, 3)` uint8, what is to be found in it, and the JPEG quality of the camera."""

    pixels: ImageArray
    things: list[Thing]
    quality: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Shelf:
    """A board; all in fine pixels: `front` and `depth` of its surface, `room` above it, `scale` per centimetre."""

    front: int
    depth: int
    room: int
    scale: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Placed:
    kind: str | None
    sprite: Sprite
    left: int
    top: int
    shelf: int

    def cover(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return where on a canvas of `shape` the thing is."""
        canvas = np.zeros(shape, np.bool_)
        height, width = self.sprite.mask.shape
        x0, y0 = max(self.left, 0), max(self.top, 0)
        x1, y1 = min(self.left + width, shape[1]), min(self.top + height, shape[0])
        if x1 > x0 and y1 > y0:
            canvas[y0:y1, x0:x1] = self.sprite.mask[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]
        return canvas


def shelf_scene(rng: Random, kinds: list[str], clutter: int) -> Scene:
    """Return a picture of about 320 pixels with things on one or two shelves.

    Args:
        rng: every choice comes from it.
        kinds: classes of the things to place; one that would be hidden or find no room is left out.
        clutter: number of things that are not annotated.
    """
    size = rng.choice(_SIZES)
    width, height = size[0] * FINE, size[1] * FINE
    light = _light(rng)
    shelves = _shelves(rng, width, height)
    wanted: list[str | None] = [*kinds, *[None] * clutter]
    rng.shuffle(wanted)
    placed: list[_Placed] = []
    for kind in wanted:
        _place(rng, kind, shelves, light, placed, (height, width))
    return _photograph(rng, placed, shelves, light, (height, width))


def portrait(rng: Random, kind: str) -> Scene:
    """Return a small picture of about 128 pixels with one thing of `kind`, whole or nearly, and maybe clutter."""
    width, height = (FINE * side for side in rng.choice([(96, 144), (112, 144), (128, 144), (144, 144)]))
    light = _light(rng)
    tallest = {"can": 15.5, "carton": 25.0, "milk_bottle": 26.0, "water_bottle": 29.0}[kind]
    front = round(height * rng.uniform(0.88, 0.98))
    shelf = _Shelf(front, round(0.1 * height), front, rng.uniform(0.6, 0.85) * height / tallest)
    placed: list[_Placed] = []
    shape = (height, width)
    _place(rng, kind, [shelf], light, placed, shape, middle=True)
    if rng.random() < 0.5:
        _place(rng, None, [shelf], light, placed, shape)
    return _photograph(rng, placed, [shelf], light, shape)


def _light(rng: Random) -> Light:
    return Light(rng.choice([-1, 1]) * rng.uniform(0.35, 1.0), rng.uniform(0.10, 0.28), rng.uniform(0.2, 1.0))


def _shelves(rng: Random, width: int, height: int) -> list[_Shelf]:
    """Return one shelf, or two where the picture is high enough, the upper one first."""
    low = round(height * rng.uniform(0.84, 0.97))
    if height < width or rng.random() < 0.4:
        return [_Shelf(low, round(0.16 * height), low, rng.uniform(0.018, 0.034) * height)]
    high = round(height * rng.uniform(0.42, 0.5))
    scale = rng.uniform(0.0125, 0.0165) * height
    gap = low - high - round(0.03 * height)
    return [_Shelf(high, round(0.07 * height), high, scale), _Shelf(low, round(0.1 * height), gap, scale * 1.05)]


def _place(
    rng: Random,
    kind: str | None,
    shelves: list[_Shelf],
    light: Light,
    placed: list[_Placed],
    shape: tuple[int, int],
    middle: bool = False,
) -> None:
    """Put a thing where everything annotated stays visible enough; give up after some tries."""
    maker: Maker = KINDS[kind] if kind else rng.choice(CLUTTER)
    for _ in range(12):
        index = rng.randrange(len(shelves))
        shelf, back = shelves[index], rng.random()
        sprite = _tilted(rng, maker(rng, shelf.scale * (1 - 0.2 * back) * rng.uniform(0.88, 1.1), light))
        height, width = sprite.mask.shape
        if height > shelf.room and index > 0:
            continue
        left = round(rng.uniform(-0.25 * width, shape[1] - 0.75 * width))
        if middle:
            left = round((shape[1] - width) / 2 + rng.uniform(-0.12, 0.12) * shape[1])
        top = shelf.front - round(shelf.depth * back) - height
        candidate = sorted([*placed, _Placed(kind, sprite, left, top, index)], key=_order)
        if min((share for thing, share, _ in _visible(candidate, shape) if thing.kind), default=1) >= _LEAST_VISIBLE:
            placed[:] = candidate
            return


def _order(thing: _Placed) -> tuple[int, int]:
    """Return the order of drawing: the upper shelf first, then from the back to the front."""
    return thing.shelf, thing.top + len(thing.sprite.mask)


def _tilted(rng: Random, sprite: Sprite) -> Sprite:
    angle = rng.gauss(0, 1.6)
    mask = Image.fromarray(sprite.mask).rotate(angle, Image.Resampling.NEAREST, expand=True)
    rgba = Image.fromarray(sprite.rgba).rotate(angle, Image.Resampling.BILINEAR, expand=True)
    return Sprite(np.array(rgba), np.array(mask))


def _visible(placed: list[_Placed], shape: tuple[int, int]) -> list[tuple[_Placed, float, NDArray[np.bool_]]]:
    """Return for each thing, front to back, the share of it that is visible, and where."""
    hidden = np.zeros(shape, np.bool_)
    found = []
    for thing in reversed(placed):
        cover = thing.cover(shape)
        seen = cover & ~hidden
        hidden |= cover
        found.append((thing, float(seen.sum()) / float(thing.sprite.mask.sum()), seen))
    return found


def _photograph(
    rng: Random, placed: list[_Placed], shelves: list[_Shelf], light: Light, shape: tuple[int, int]
) -> Scene:
    canvas = _wall(rng, light, shape)
    for index, shelf in enumerate(shelves):
        _board(rng, canvas, shelf)
        for thing in placed:
            if thing.shelf == index:
                _shadow(canvas, thing, light)
                canvas.alpha_composite(_pasted(thing, canvas.size))
    things = []
    for thing, _, seen in reversed(_visible(placed, shape)):
        outlines = polygons(_coarse(seen))
        if thing.kind and outlines:
            things.append(Thing(thing.kind, outlines))
    return Scene(_finish(rng, canvas), things, rng.randint(74, 92))


def _coarse(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    height, width = mask.shape
    blocks = mask.reshape(height // FINE, FINE, width // FINE, FINE)
    return np.asarray(2 * blocks.sum(axis=(1, 3)) >= FINE * FINE)


def _wall(rng: Random, light: Light, shape: tuple[int, int]) -> Image.Image:
    """Return the back of the fridge: a lit, slightly tinted wall, often ribbed, with things out of focus before it."""
    height, width = shape
    ys, xs = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    base = np.asarray([rng.uniform(0.62, 0.92)] * 3) + np.asarray([rng.uniform(-0.05, 0.05) for _ in range(3)])
    lamp_x, lamp_y = 0.5 + 0.45 * light.side, rng.uniform(-0.1, 0.25)
    glow = np.exp(-((xs - lamp_x) ** 2 / 0.35 + (ys - lamp_y) ** 2 / 0.5))
    shade = 0.66 + 0.42 * glow - 0.14 * ys
    if rng.random() < 0.5:
        shade = shade + rng.uniform(0.01, 0.03) * np.sin(xs * rng.uniform(50, 110))
    wall = _image(base * shade[:, :, None])
    draw = ImageDraw.Draw(wall)
    for _ in range(rng.randint(0, 6)):
        x, y = rng.uniform(0, width), rng.uniform(0.2, 0.9) * height
        w, h = rng.uniform(0.05, 0.16) * width, rng.uniform(0.08, 0.25) * height
        tone = tuple(round(255 * rng.uniform(0.25, 0.8)) for _ in range(3))
        (draw.ellipse if rng.random() < 0.4 else draw.rectangle)((x - w, y - h, x + w, y + h), fill=tone)
    wall = wall.filter(ImageFilter.GaussianBlur(rng.uniform(12, 24) / _SOFT))
    return wall.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)


def _board(rng: Random, canvas: Image.Image, shelf: _Shelf) -> None:
    """Draw a shelf of glass, of white plastic or of wires, in place."""
    width, height = canvas.size
    back, thick = shelf.front - round(1.3 * shelf.depth), max(4, round(0.022 * height))
    layer = Image.new("RGBA", canvas.size)
    draw = ImageDraw.Draw(layer)
    kind = rng.choice(["glass", "plastic", "wire"])
    if kind == "wire":
        for x in range(rng.randint(0, 12), width, rng.randint(16, 26)):
            lean = round((x - width / 2) * 0.12)
            draw.line((x - lean, back, x, shelf.front), fill=(150, 154, 160, 230), width=3)
        draw.line((0, back, width, back), fill=(120, 124, 130, 220), width=3)
    else:
        top = (190, 220, 214, 70) if kind == "glass" else (232, 234, 236, 245)
        draw.rectangle((0, back, width, shelf.front), fill=top)
    edge = {"glass": (120, 176, 164, 235), "plastic": (200, 204, 210, 255), "wire": (135, 139, 146, 255)}[kind]
    draw.rectangle((0, shelf.front, width, shelf.front + thick), fill=edge)
    draw.line((0, shelf.front, width, shelf.front), fill=(250, 252, 252, 200), width=2)
    draw.rectangle((0, shelf.front + thick, width, shelf.front + 3 * thick), fill=(20, 25, 30, 60))
    canvas.alpha_composite(layer)


def _shadow(canvas: Image.Image, thing: _Placed, light: Light) -> None:
    """Darken the board around the thing's foot and a strip beside it, in place."""
    height, width = thing.sprite.mask.shape
    foot, squash = thing.top + height, max(4.0, 0.16 * width)
    shift = -0.25 * width * light.side
    x0, x1 = thing.left + min(shift, 0), thing.left + width + max(shift, 0)
    dark = Image.new("L", (canvas.width // _SOFT, canvas.height // _SOFT))
    draw = ImageDraw.Draw(dark)
    for shape, box, strength in (
        (draw.rectangle, (x0, thing.top + 0.3 * height, x1, foot - squash), 34),
        (draw.ellipse, (x0, foot - 1.7 * squash, x1, foot + 0.5 * squash), 130),
    ):
        shape([v / _SOFT for v in box], fill=strength)
    dark = dark.filter(ImageFilter.GaussianBlur(max(3.0, 0.09 * width) / _SOFT))
    canvas.paste((9, 12, 17, 255), mask=dark.resize(canvas.size, Image.Resampling.BILINEAR))


def _pasted(thing: _Placed, size: tuple[int, int]) -> Image.Image:
    layer = Image.new("RGBA", size)
    layer.paste(Image.fromarray(thing.sprite.rgba), (thing.left, thing.top))
    return layer


def _finish(rng: Random, canvas: Image.Image) -> ImageArray:
    """Return the picture as the camera takes it: focus, exposure, white balance, vignette, noise."""
    width, height = canvas.size[0] // FINE, canvas.size[1] // FINE
    small = canvas.convert("RGB").resize((width, height), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(rng.choice([0.0, 0.3, 0.5, 0.9])))
    warmth = rng.uniform(-0.09, 0.09)
    gain = rng.uniform(0.62, 1.12) * np.asarray([1 + warmth, 1.0, 1 - warmth])
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = 1 - rng.uniform(0.0, 0.3) * (xs**2 + ys**2) / 2
    values: Field = (np.asarray(small) / 255.0) ** rng.uniform(0.85, 1.3) * gain * vignette[:, :, None]
    grain = np.random.default_rng(rng.getrandbits(64)).standard_normal(values.shape)
    return np.rint(np.clip(values + rng.uniform(0.004, 0.02) * grain, 0, 1) * 255).astype(np.uint8)


def _image(values: Field) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)).convert("RGBA")
