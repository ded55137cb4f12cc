"""Draw the bundled sample: `python -m automl_images.data.sample OUTPUT_DIR`."""

from __future__ import annotations

import argparse
import importlib.metadata
import io
from pathlib import Path
from random import Random

from PIL import Image

from automl_images.core.files import write_bytes, write_text
from automl_images.data.sample import writers
from automl_images.data.sample.scene import Scene, portrait, shelf_scene
from automl_images.data.sample.things import KINDS
from automl_images.data.sample.writers import Picture

SCENES = 128
PORTRAITS = 32
"""Single objects a class."""

_README = """# Fridge shelf

128 pictures of a fridge shelf with four kinds of things (can, carton, milk_bottle, water_bottle), among clutter that
is not annotated (jars, tubs, fruit, packets). Drawn by rule with seed 0; nobody's photographs. Licence: that of the
project (MIT).

| path | what | task |
|---|---|---|
| `images/` | the pictures, {scenes} of them, {empty} without any of the four kinds | |
| `coco/annotations.json` | boxes and polygons of what is visible, {things} objects | detection, segmentation |
| `voc/*.xml` | the same boxes, edges counted from 0 | detection |
| `yolo/data.yaml`, `yolo/labels/*.txt` | the same boxes; give `images/` as the folder of images | detection |
| `multilabel.csv` | which kinds each picture shows | multi-label classification |
| `folders/<class>/*.jpg` | {portraits} pictures a class of a single thing | classification |

Objects: {counts}. Things of which less than 30 % would be visible were not placed.

Draw it again, byte for byte the same, with `python -m automl_images.data.sample OUTPUT_DIR`. The annotations do not
depend on versions; the JPEG files do: {versions}.
"""


def scene(number: int, seed: int = 0) -> Scene:
    """Return the shelf picture `number`, counted from 1; each is drawn from numbers of its own."""
    rng = Random(f"{seed}:shelf:{number}")  # noqa: S311 - pictures, not secrets
    if number % 21 == 11:
        return shelf_scene(rng, [], rng.randint(1, 4))
    count = 1 if number % 9 == 4 else rng.randint(2, 6)
    return shelf_scene(rng, [rng.choice(list(KINDS)) for _ in range(count)], rng.choice([0, 1, 1, 2, 3]))


def single(kind: str, number: int, seed: int = 0) -> Scene:
    """Return the picture `number`, counted from 1, of one thing of `kind`."""
    return portrait(Random(f"{seed}:{kind}:{number}"), kind)  # noqa: S311


def jpeg(picture: Scene) -> bytes:
    """Return a picture as its camera stores it."""
    stream = io.BytesIO()
    Image.fromarray(picture.pixels).save(stream, "JPEG", quality=picture.quality, optimize=True)
    return stream.getvalue()


def versions() -> str:
    """Return the libraries that decide the bytes of a picture."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("Pillow", "numpy"))


def draw(folder: Path, seed: int = 0) -> None:
    """Write the whole sample below `folder`."""
    pictures = []
    for number in range(1, SCENES + 1):
        drawn = scene(number, seed)
        height, width = drawn.pixels.shape[:2]
        picture = Picture(f"shelf_{number:03}.jpg", width, height, drawn.things)
        pictures.append(picture)
        write_bytes(folder / "images" / picture.file_name, jpeg(drawn))
    for kind in KINDS:
        for number in range(1, PORTRAITS + 1):
            write_bytes(folder / "folders" / kind / f"{kind}_{number:02}.jpg", jpeg(single(kind, number, seed)))
    _annotate(folder, pictures)


def _annotate(folder: Path, pictures: list[Picture]) -> None:
    kinds = list(KINDS)
    for picture in pictures:
        stem = Path(picture.file_name).stem
        write_text(folder / "voc" / f"{stem}.xml", writers.voc(picture))
        write_text(folder / "yolo" / "labels" / f"{stem}.txt", writers.yolo(picture, kinds))
    write_text(folder / "yolo" / "data.yaml", writers.yolo_definition(kinds))
    write_text(folder / "coco" / "annotations.json", writers.coco(pictures, kinds))
    write_text(folder / "multilabel.csv", writers.multilabel(pictures))
    found = [thing.kind for picture in pictures for thing in picture.things]
    facts = {
        "scenes": len(pictures),
        "empty": sum(not picture.things for picture in pictures),
        "things": len(found),
        "portraits": PORTRAITS,
        "counts": ", ".join(f"{found.count(kind)} {kind}" for kind in kinds),
        "versions": versions(),
    }
    write_text(folder / "README.md", _README.format(**facts))


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(prog="python -m automl_images.data.sample", description=__doc__)
    parser.add_argument("output", type=Path, help="folder to write to; files of the same name are replaced")
    draw(parser.parse_args().output)


if __name__ == "__main__":
    main()
