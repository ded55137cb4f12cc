"""What tests of readers share: sources, conversions and their findings, in short words."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from automl_images.data.conversion import convert
from automl_images.data.sources import SourceOptions


def draw(path, width=40, height=30, seed=0, **save):
    """Save a picture of noise, which is another for each seed and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **save)
    return path


def options(path, **fields):
    return SourceOptions(path=path, **fields)


def named(rows):
    return {Path(row["image_url"]).name: row for row in rows}


def codes(findings):
    return sorted(finding.code for finding in findings)


def convert_all(path, kind="boxes", **fields):
    return convert(options(path, **fields), kind, max_invalid=1.0)


def edit_coco(write, change):
    """Write the COCO file of the fixture, changed."""
    path = write("coco")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path
