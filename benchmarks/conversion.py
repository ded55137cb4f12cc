"""Converting a COCO file of the size of COCO train2017, against pycocotools and a plain loop, in one run.

Generates (seeded, without pixels) a file of 118,000 images and 860,000 boxes, then makes the same normalised rows
twice, each in a process of its own so that the peaks of memory do not mix: by `automl_images.data.conversion.convert`
(with all checks but decoding) and `write_table`; and by `pycocotools.coco.COCO` with a loop over `loadAnns` and
`json.dumps`. CPU seconds tell more than the clock where other programs run.

    python benchmarks/conversion.py [--images 118000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BOXES_PER_IMAGE = 860_000 / 118_000
CLASSES = 80


def generate(path: Path, images: int, seed: int = 0) -> int:
    """Write the COCO file and return the number of boxes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(240, 641, (images, 2)).tolist()
    owners = np.sort(rng.integers(0, images, round(images * BOXES_PER_IMAGE)))
    corners = np.sort(rng.random((len(owners), 2, 2)) * 0.98, axis=1)
    corners[:, 1] += 0.01
    document = {
        "images": [
            {"id": i + 1, "file_name": f"{i:012d}.jpg", "width": w, "height": h} for i, (w, h) in enumerate(sizes)
        ],
        "categories": [{"id": c + 1, "name": f"class {c:02d}"} for c in range(CLASSES)],
        "annotations": [
            _annotation(n, owner, corner, sizes[owner])
            for n, (owner, corner) in enumerate(zip(owners.tolist(), corners.tolist(), strict=True))
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return len(owners)


def _annotation(number: int, owner: int, corner: list[list[float]], size: list[int]) -> dict[str, object]:
    (x0, y0), (x1, y1) = corner
    box = [round(v, 2) for v in (x0 * size[0], y0 * size[1], max((x1 - x0) * size[0], 1), max((y1 - y0) * size[1], 1))]
    return {
        "id": number + 1,
        "image_id": owner + 1,
        "category_id": number % CLASSES + 1,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "segmentation": [],
    }


def ours(source: Path, output: Path) -> dict[str, float]:
    """Convert and write with this project."""
    from automl_images.data.conversion import convert
    from automl_images.data.mltable import write_table
    from automl_images.data.sources import SourceOptions

    start = time.perf_counter()
    options = SourceOptions(path=source, format="coco")
    conversion = convert(options, "boxes", check_images=False, max_invalid=1.0)
    converted = time.perf_counter()
    write_table(conversion.rows, output)
    return _figures(start, converted, len(conversion.rows), len(conversion.findings))


def pycocotools(source: Path, output: Path) -> dict[str, float]:
    """Make and write the same rows with pycocotools and a loop."""
    from pycocotools.coco import COCO

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(source))
    rows = []
    for image in coco.loadImgs(coco.getImgIds()):
        width, height = image["width"], image["height"]
        label = []
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            x, y, w, h = annotation["bbox"]
            label.append(
                {
                    "label": coco.cats[annotation["category_id"]]["name"],
                    "topX": round(x / width, 9),
                    "topY": round(y / height, 9),
                    "bottomX": round((x + w) / width, 9),
                    "bottomY": round((y + h) / height, 9),
                    "isCrowd": annotation["iscrowd"],
                }
            )
        details = {"format": "jpg", "width": width, "height": height}
        rows.append({"image_url": image["file_name"], "image_details": details, "label": label})
    converted = time.perf_counter()
    output.mkdir()
    with (output / "annotations.jsonl").open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return _figures(start, converted, len(rows), 0)


def _figures(start: float, converted: float, rows: int, findings: int) -> dict[str, float]:
    end = time.perf_counter()
    cpu = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "rows": rows,
        "findings": findings,
        "convert": converted - start,
        "total": end - start,
        "cpu": cpu,
        "peak_gib": peak,
    }


def _measure(way: str, source: Path, output: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--source", str(source), "--output", str(output)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    figures: dict[str, float] = json.loads(done.stdout)
    rate = figures["rows"] / figures["total"]
    print(
        f"{way:>12}: {figures['total']:6.1f} s ({figures['convert']:.1f} s without writing), {figures['cpu']:.1f} s CPU"
        f", {rate:8,.0f} rows/s, peak {figures['peak_gib']:.2f} GiB, {figures['findings']:.0f} findings"
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_000)
    for hidden in ("--way", "--source", "--output"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        way = {"ours": ours, "pycocotools": pycocotools}[arguments.way]
        print(json.dumps(way(Path(arguments.source), Path(arguments.output))))
        return
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "instances.json"
        boxes = generate(source, arguments.images)
        print(f"{arguments.images:,} images, {boxes:,} boxes, {source.stat().st_size / 1e6:.0f} MB")
        mine = _measure("ours", source, Path(name) / "ours")
        theirs = _measure("pycocotools", source, Path(name) / "theirs")
        print(
            f"ours is {theirs['total'] / mine['total']:.2f} times as fast, with writing; "
            f"{theirs['convert'] / mine['convert']:.2f} without"
        )
        same = _same(_labels(Path(name) / "ours"), _labels(Path(name) / "theirs"))
        print(f"same rows: {same}")
        if not same:
            raise SystemExit(1)


def _same(mine: dict[str, list[dict[str, Any]]], theirs: dict[str, list[dict[str, Any]]]) -> bool:
    """Tell whether both ways gave the same objects, coordinates to the last of their nine decimals."""
    return mine.keys() == theirs.keys() and all(
        len(mine[name]) == len(theirs[name]) and all(map(_same_object, mine[name], theirs[name])) for name in mine
    )


def _same_object(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[key] == b[key] or abs(a[key] - b[key]) < 1.5e-9 for key in b)


def _labels(folder: Path) -> dict[str, list[dict[str, Any]]]:
    with (folder / "annotations.jsonl").open(encoding="utf-8") as stream:
        rows = (json.loads(line) for line in stream)
        return {Path(row["image_url"]).name: row["label"] for row in rows}


if __name__ == "__main__":
    main()
