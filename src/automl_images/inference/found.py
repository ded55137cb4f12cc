"""Detections on their way from a network's input to an image: masks are still grids over boxes.

A grid has a thousandth of the pixels of a mask over the image, so that detections are merged, sorted out and compared
as they are here, and only what survives is pasted. Owns placing, merging and pasting; what a network's outputs mean is
`decoders.py`'s, how a grid becomes pixels is `data/masks.py`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_images.core.types import Detections, FloatArray
from automl_images.data.masks import paste
from automl_images.data.preprocessing import Placement
from automl_images.data.tiling import concatenated, survivors


@dataclasses.dataclass(frozen=True, slots=True)
class MaskGrids:
    """Masks as networks give them.

    Attributes:
        values: `(N, M, M)` float32 probabilities that a point belongs to the object.
        boxes: `(N, 4)` xyxy, each grid lies evenly over its box; not cut at the image's border as the detections' are.
    """

    values: FloatArray
    boxes: FloatArray

    def take(self, index: NDArray[Any]) -> MaskGrids:
        """Return the grids that an index or boolean array selects, in its order."""
        return MaskGrids(self.values[index], self.boxes[index])


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What was found in an image or a tile of it.

    Attributes:
        detections: without masks.
        grids: one a detection, or None: the network has no masks.
    """

    detections: Detections
    grids: MaskGrids | None = None

    def __len__(self) -> int:
        return len(self.detections)

    def take(self, index: NDArray[Any]) -> Found:
        """Return what an index or boolean array selects, in its order."""
        return Found(self.detections.take(index), None if self.grids is None else self.grids.take(index))

    def placed(self, placement: Placement, left: int = 0, top: int = 0) -> Found:
        """Move from the network's input to the image; boxes are clipped to their piece and must have an area in it.

        Args:
            placement: of the piece (the image or a tile) in the input.
            left: pixels of the image in front of the piece.
            top: pixels of the image above the piece.
        """
        shift = np.asarray([left, top] * 2, np.float32)
        boxes = placement.to_image(self.detections.boxes)
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        detections = dataclasses.replace(self.detections, boxes=(boxes + shift).astype(np.float32))
        grids = self.grids
        if grids is not None:
            whole = placement.to_image(grids.boxes, clip=False) + shift
            grids = MaskGrids(grids.values, whole.astype(np.float32))
        return Found(detections, grids).take(has_area)

    def pasted(self, width: int, height: int, threshold: float) -> Detections:
        """Return the detections with their masks `(N, h, w)` bool, None where there are no grids.

        At most `data.masks.MAX_CANVAS` pixels a detection: the masks of larger images are smaller than these.

        Args:
            width: of the image, pixels.
            height: of the image, pixels.
            threshold: pixels with a higher probability belong to the object.
        """
        if self.grids is None:
            return self.detections
        masks = paste(self.grids.values, self.grids.boxes, width, height, threshold)
        return dataclasses.replace(self.detections, masks=masks)


def merged(parts: Sequence[Found], threshold: float) -> Found:
    """Join what was found in an image and its tiles, see `data.tiling.survivors`.

    Args:
        parts: all in the image's frame.
        threshold: overlap of boxes in [0, 1] from which the worse of two goes.
    """
    if len(parts) == 1:
        return parts[0]
    detections = [part.detections for part in parts]
    grids = [part.grids for part in parts if part.grids is not None]
    everything = Found(concatenated(detections), _joined(grids) if grids else None)
    return everything.take(survivors(detections, threshold))


def _joined(grids: Sequence[MaskGrids]) -> MaskGrids:
    return MaskGrids(np.concatenate([g.values for g in grids]), np.concatenate([g.boxes for g in grids]))
