"""Dividing rows into training and validation: stratified, seeded and sticky.

Owns which row goes to which side and the report about it. Leaves to `pipelines/validation_split` whether there is
anything to split.

The rule. An image's position is a number in [0, 1) drawn from the seed and the hash of its content; it goes to
validation when that number is below the fraction. So the side depends on nothing but the image itself, whatever the
order of the rows, and exact duplicates stay together. Luck alone makes the shares of classes uneven (at 40 validation
images by 14 %, one standard deviation). Therefore a class whose number of validation images is off target by more
than `_TOLERANCE` of it and by more than one image is mended, from the rarest class to the most frequent, then the
images without objects, then the whole set: of the images that may change sides without harm to a rarer class, those
nearest to the border do.

The price. Exact shares and exact stickiness exclude one another: a side that depends on the image alone leaves the
shares to luck, and mending depends on the other images. When a set grows, only images near the border may change
sides. Measured at a growth of 20 %, 30 splits each: no image of 10,000; 0.2 % of 1,000; 1.5 % of 128 with four
classes; 6 % of 84 with twenty classes of about five images, of which each must have one on either side.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_images.core.errors import DataError, SettingsError
from automl_images.core.files import fingerprint
from automl_images.core.types import Row

LabelKind = Literal["class", "classes", "boxes", "polygons"]
"""What `label` of a row is: a class name, a list of them, or a list of objects that each have a `label`."""

SAME_IMAGES = "Validation has the images of the training: metrics say whether the model learns them by heart, no more."

_TOLERANCE = 0.2

_Mask = NDArray[np.bool_]
_Counts = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """Both sides, in the order of the rows, and the report.

    Attributes:
        training: rows to learn from.
        validation: rows to judge by.
        report: JSON-serialisable: `seed`, `fraction` (asked for), for each side `images` and `hash` (of its rows'
            images and labels), `data_hash` (of all rows, whatever their side), `split_hash` (of both sides),
            `validation_share`, `classes` (name to images, objects and validation share), `background_images` (without
            any object), `notes`.
    """

    training: list[Row]
    validation: list[Row]
    report: dict[str, Any]


def split(rows: Sequence[Row], fraction: float, seed: int, kind: LabelKind) -> Split:
    """Divide rows into training and validation.

    Args:
        rows: rows with `label` and, for stickiness, `image_details.sha256`; without it the image's URL stands in.
        fraction: share of the images that validation gets, in (0, 1).
        seed: another seed gives another split.
        kind: the shape of `label`.

    Raises:
        SettingsError: the fraction is not inside (0, 1).
        DataError: there are fewer than two different images.
    """
    if not 0 < fraction < 1:
        raise SettingsError(f"validation_data_size must lie in (0, 1), got {fraction!r}; 0.2 is usual.")
    keys = [_key(row) for row in rows]
    images = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    if len(images) < 2:
        raise DataError(
            f"A split needs at least two different images, got {len(images)} in {len(rows)} rows. "
            "Add images, or name validation_data."
        )
    labels = [_labels(row, kind) for row in rows]
    owner = np.asarray([images[key] for key in keys])
    members, names = _members(labels, owner, len(images))
    position = np.asarray([_position(key, seed) for key in images])
    chosen = _Sides(members, position, fraction).mended()[owner]
    training = [row for row, is_chosen in zip(rows, chosen, strict=True) if not is_chosen]
    validation = [row for row, is_chosen in zip(rows, chosen, strict=True) if is_chosen]
    notes = _notes(members, names, len(rows) - len(images), labels, chosen)
    report = _report(training, validation, labels, chosen, names, notes)
    return Split(training, validation, {"seed": seed, "fraction": fraction, **report})


def given_sides(training: Sequence[Row], validation: Sequence[Row], kind: LabelKind) -> Split:
    """Return two sides that the user chose, with the same report as `split`.

    The same data set may be both sides, to see whether a model learns it by heart; a note says what that is worth.

    Raises:
        DataError: some images stand on both sides; metrics would be too good, and nothing would tell by how much.
    """
    known, held_out = {_key(row) for row in training}, {_key(row) for row in validation}
    shared = [row["image_url"] for row in validation if _key(row) in known]
    if shared and known != held_out:
        raise DataError(
            f"{len(shared)} validation images are in the training data too (same content), the first is {shared[0]}. "
            "Remove them from one side; `kedro data check --validation` lists them all."
        )
    rows = [*training, *validation]
    labels = [_labels(row, kind) for row in rows]
    chosen = np.arange(len(rows)) >= len(training)
    members, names = _members(labels, np.arange(len(rows)), len(rows))
    duplicates = len(rows) - len({_key(row) for row in rows})
    notes = [SAME_IMAGES] if shared else []
    notes += _notes(members, names, duplicates, labels, chosen)
    report = _report(training, validation, labels, chosen, names, notes)
    return Split(list(training), list(validation), {"seed": None, "fraction": None, **report})


def data_hash(training: Sequence[Row], validation: Sequence[Row]) -> str:
    """Return the hash of both sides: images by content, and labels; a split's report calls it `split_hash`."""
    return fingerprint([fingerprint(_row_hashes(side)) for side in (training, validation)])


def _key(row: Row) -> str:
    """Return what identifies the image's content."""
    details = row.get("image_details") or {}
    return str(details.get("sha256") or row["image_url"])


def _labels(row: Row, kind: LabelKind) -> list[str]:
    """Return the class of each object in a row."""
    label = row["label"]
    if kind == "class":
        return [str(label)]
    return [str(item["label"]) if kind in ("boxes", "polygons") else str(item) for item in label]


def _position(key: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _members(labels: list[list[str]], owner: NDArray[np.int64], count: int) -> tuple[_Mask, list[str]]:
    """Return whether each image `(N,)` has each class, `(N, C)`, from the rarest class to the most frequent."""
    names = sorted({name for row in labels for name in row})
    column = {name: i for i, name in enumerate(names)}
    members = np.zeros((count, len(names)), np.bool_)
    for image, row in zip(owner, labels, strict=True):
        members[image, [column[name] for name in row]] = True
    order = np.argsort(members.sum(axis=0), kind="stable")
    return members[:, order], [names[i] for i in order]


class _Sides:
    """Which images are in validation, and how far that is from what was asked for.

    After the classes `members` has a column for images without any object, and the last one is the whole set.
    """

    def __init__(self, members: _Mask, position: NDArray[np.float64], fraction: float) -> None:
        self.members = np.column_stack([members, ~members.any(axis=1), np.ones(len(members), np.bool_)])
        self.distance = np.abs(position - fraction)
        self.chosen = position < fraction
        self.low, self.high = _band(self.members.sum(axis=0), fraction)
        self.counts: _Counts = self.members[self.chosen].sum(axis=0)

    def mended(self) -> _Mask:
        """Return which images `(N,)` are in validation."""
        for column in range(self.members.shape[1]):
            while not self.low[column] <= self.counts[column] <= self.high[column]:
                if not self._flip(column, more=bool(self.counts[column] < self.low[column])):
                    break
        return self.chosen

    def _flip(self, column: int, more: bool) -> bool:
        """Move the image of a class that is nearest to the border and harms no rarer class; False if there is none."""
        candidates = np.flatnonzero(self.members[:, column] & (self.chosen != more))
        at_limit = (self.counts >= self.high) if more else (self.counts <= self.low)
        harm = self.members[candidates, :column] @ at_limit[:column]
        if not self._must(column):
            candidates = candidates[~harm]
            harm = harm[~harm]
        if not len(candidates):
            return False
        image = candidates[np.lexsort((self.distance[candidates], harm))[0]]
        self.chosen[image] = more
        self.counts += self.members[image] * (1 if more else -1)
        return True

    def _must(self, column: int) -> bool:
        """Return whether a side is empty, which is worse than harm to a class."""
        return column == len(self.counts) - 1 and self.counts[column] in (0, len(self.chosen))


def _band(sizes: _Counts, fraction: float) -> tuple[_Counts, _Counts]:
    """Return the least and the most validation images `(C,)` for classes of `sizes` images `(C,)`.

    Two images or more: at least one on each side. One image: none in validation.
    """
    target = fraction * sizes
    slack = np.maximum(1.0, _TOLERANCE * np.minimum(target, sizes - target))
    most = np.maximum(sizes - 1, 0)
    low = np.clip(np.ceil(target - slack), np.minimum(1, most), most).astype(np.int64)
    high = np.clip(np.floor(target + slack), low, most).astype(np.int64)
    return low, high


def _report(
    training: Sequence[Row],
    validation: Sequence[Row],
    labels: list[list[str]],
    chosen: _Mask,
    names: list[str],
    notes: list[str],
) -> dict[str, Any]:
    known, held_out = _row_hashes(training), _row_hashes(validation)
    hashes = [fingerprint(known), fingerprint(held_out)]
    return {
        "training": {"images": len(training), "hash": hashes[0]},
        "validation": {"images": len(validation), "hash": hashes[1]},
        "data_hash": fingerprint(sorted(known + held_out)),
        "split_hash": fingerprint(hashes),
        "validation_share": round(len(validation) / (len(training) + len(validation)), 4),
        "classes": _balance(labels, chosen, names),
        "background_images": _background(labels, chosen),
        "notes": notes,
    }


def _row_hashes(rows: Sequence[Row]) -> list[str]:
    return sorted(fingerprint([_key(row), row["label"]]) for row in rows)


def _balance(labels: list[list[str]], chosen: _Mask, names: list[str]) -> dict[str, dict[str, float]]:
    """Return for each class the images and objects of both sides and validation's share of the images."""
    table = {name: dict.fromkeys(_COLUMNS, 0) for name in sorted(names)}
    for row, is_chosen in zip(labels, chosen, strict=True):
        side = "validation" if is_chosen else "training"
        for name in row:
            table[name][f"{side}_objects"] += 1
        for name in set(row):
            table[name][f"{side}_images"] += 1
    shares = {n: t["validation_images"] / (t["validation_images"] + t["training_images"]) for n, t in table.items()}
    return {name: {**counts, "validation_share": round(shares[name], 4)} for name, counts in table.items()}


_COLUMNS = ("training_images", "validation_images", "training_objects", "validation_objects")


def _background(labels: list[list[str]], chosen: _Mask) -> dict[str, int]:
    empty = np.asarray([not row for row in labels])
    return {"training": int((empty & ~chosen).sum()), "validation": int((empty & chosen).sum())}


def _notes(members: _Mask, names: list[str], duplicates: int, labels: list[list[str]], chosen: _Mask) -> list[str]:
    """Return what a person should know about the split, one sentence each."""
    notes = []
    for name, size in sorted(zip(names, members.sum(axis=0), strict=True)):
        if size == 1:
            notes.append(f"Class {name!r} has one image; it stays in training, so the class is not judged.")
    seen = {name for row, is_chosen in zip(labels, chosen, strict=True) if is_chosen for name in row}
    many = {name for name, size in zip(names, members.sum(axis=0), strict=True) if size > 1}
    notes += [f"Class {name!r} has no image in validation, so it is not judged." for name in sorted(many - seen)]
    if duplicates:
        notes.append(f"{duplicates} rows repeat an image byte by byte; they stay on the side of its first row.")
    return notes
