"""Masks in a source as polygons: one conversion, and one finding that says what it cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automl_images.data.findings import FindingLog
from automl_images.data.mask_outlines import polygon_of_mask
from automl_images.data.masks import MaskArray


class MasksToPolygons:
    """Turns the masks of one source into polygons and sums up the pixels that change.

    Args:
        log: takes the finding.
        file: the annotation file or folder that holds the masks.
    """

    def __init__(self, log: FindingLog, file: Path) -> None:
        self._log = log
        self._file = file
        self._masks = self._pixels = 0
        self._changed = 0.0
        self._worst: tuple[float, str | None] = (-1.0, None)

    def polygon(self, mask: MaskArray, left: int, top: int, item: object) -> list[list[float]]:
        """Return the segments of a mask in pixels of the image.

        Args:
            mask: `(h, w)`, a part of the image that holds the whole object.
            left: column of the image at which `mask` begins.
            top: row likewise.
            item: id of the object, for the finding.
        """
        segments, changed = polygon_of_mask(mask)
        pixels = int(mask.sum())
        self._masks += 1
        self._pixels += pixels
        self._changed += changed
        self._worst = max(self._worst, (changed / pixels, str(item)))
        origin = np.array([left, top])
        return [(corners + origin).ravel().tolist() for corners in segments]

    def report(self) -> None:
        """Log how many masks were converted and the share of their area that changed, if there were any."""
        if not self._masks:
            return
        share, (worst, item) = self._changed / self._pixels, self._worst
        message = f"{self._masks} masks became polygons; {share:.2%} of their area changed, at most {worst:.2%} of one"
        self._log.add("POLYGON_FROM_MASK", message, self._file, item=item, value=f"{share:.2%}")
