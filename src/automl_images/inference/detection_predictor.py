"""From images to detections in their pixels: the one way in which every detector is used after training.

Owns the order of decoding, undoing the resize, merging what tiles found, thresholds and pasting of masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from automl_images.core.errors import ModelError
from automl_images.core.types import Detections, FloatArray, ImageArray
from automl_images.data.mltable import detections_to_response
from automl_images.data.tiling import tiles
from automl_images.inference.backend import Backend
from automl_images.inference.decoders import DECODERS
from automl_images.inference.found import Found, merged
from automl_images.inference.metadata import DetectorMetadata
from automl_images.inference.predictor import Piece, Predictor, Region


class DetectionPredictor(Predictor):
    """A model that finds objects, with everything around it.

    Attributes:
        metadata: thresholds, names and preprocessing in use. For other settings than the file's make a predictor with
            a changed copy: `DetectionPredictor(backend, metadata.model_copy(update={"tile_grid_size": (3, 2)}))`.
    """

    def __init__(self, backend: Backend, metadata: DetectorMetadata) -> None:
        """Join a backend with the metadata of its model.

        Raises:
            ModelError: the metadata names a decoder that does not exist.
        """
        if metadata.decoder not in DECODERS:
            raise ModelError(
                f"The model's outputs need the decoder {metadata.decoder!r}, this version has "
                f"{', '.join(DECODERS)}. Use the version of automl-images that exported the model."
            )
        super().__init__(backend, metadata)
        self.metadata: DetectorMetadata = metadata
        self._decode = DECODERS.get(metadata.decoder)

    def predict(
        self,
        images: Sequence[ImageArray],
        *,
        score_threshold: float | None = None,
        tiling: bool = True,
        batch_size: int = 1,
    ) -> list[Detections]:
        """Find the objects of images.

        The result of an image does not depend on the others: only images of equal size after preprocessing share a
        batch, so nothing is padded for the sake of its neighbours.

        Args:
            images: `(H, W, 3)` uint8 RGB, upright, any sizes. A lazy sequence is read one image at a time.
            score_threshold: only higher scores are returned; None: the model's own thresholds. It cannot reach below
                `metadata.graph_score_threshold`, which the graph itself applies: R-CNN graphs are exported with a low
                one (0.01) and the model's `box_score_threshold` is applied here, so that evaluation can ask for more.
            tiling: also run on tiles when the metadata has a grid; False: whole images only.
            batch_size: most images or tiles in one pass of the network (graphs with a fixed batch take one).

        Returns:
            One `Detections` per image, in its pixels, by falling score, clipped to the image. From a model with masks
            each has them, `(0, h, w)` where nothing was found; as they are large (`found` gives them small), many
            images are better asked for one after the other.

        Raises:
            ModelError: the network fails, or gives numbers that are not finite or labels that do not exist.
        """
        found = self._found(images, score_threshold, tiling, batch_size)
        return [self.finished(one, *size) for one, size in found]

    def respond(
        self, images: Iterable[ImageArray], *, score_threshold: float | None = None, exact: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the scoring response of each image, `{"boxes": [{"box": …, "label": …, "score": …}, …]}`.

        Args:
            images, score_threshold: as of `predict`, and errors too.
            exact: add to each object its `mask`, of which its `polygon` may be a simpler picture.
        """
        points = self.metadata.max_number_of_polygon_points
        for image in images:
            [found] = self.predict([image], score_threshold=score_threshold)
            height, width = image.shape[:2]
            yield detections_to_response(found, self.metadata.classes, width, height, max_points=points, exact=exact)

    def found(
        self,
        images: Sequence[ImageArray],
        *,
        score_threshold: float | None = None,
        tiling: bool = True,
        batch_size: int = 1,
    ) -> list[Found]:
        """Find the objects of images as `predict` does, with masks still on grids; see there."""
        return [one for one, _ in self._found(images, score_threshold, tiling, batch_size)]

    def finished(self, found: Found, width: int, height: int) -> Detections:
        """Return what was found in an image of `width` x `height` pixels with its masks in full size.

        Raises:
            ModelError: the model's file promises masks that its graph does not give.
        """
        threshold = self.metadata.mask_pixel_score_threshold
        if threshold is None:
            return found.detections
        if found.grids is None:
            raise ModelError(
                "The file says that the model gives masks, but its graph has none. Export the model again."
            )
        return found.pasted(width, height, threshold)

    def _found(
        self, images: Sequence[ImageArray], score_threshold: float | None, tiling: bool, batch_size: int
    ) -> Iterator[tuple[Found, tuple[int, int]]]:
        """Yield what was found in each image, and its width and height."""
        floors = self._score_floors(score_threshold)
        sizes = [(0, 0)] * len(images)
        parts: list[dict[int, Found]] = [{} for _ in range(len(images))]
        for batch, outputs in self._run(images, tiling, batch_size):
            for piece, found in zip(batch, self._decode(outputs, self.metadata, float(floors.min())), strict=True):
                if piece.part == 0:
                    sizes[piece.image] = piece.placement.width, piece.placement.height
                parts[piece.image][piece.part] = self._in_image(piece, found)
        for of_image, size in zip(parts, sizes, strict=True):
            yield self._join([of_image[part] for part in sorted(of_image)], floors), size

    def _score_floors(self, score_threshold: float | None) -> FloatArray:
        if score_threshold is not None:
            return np.full(len(self.metadata.classes), score_threshold, np.float32)
        own = self.metadata.class_score_thresholds
        floors = [own.get(name, self.metadata.box_score_threshold) for name in self.metadata.classes]
        return np.asarray(floors, np.float32)

    def _regions(self, width: int, height: int, tiling: bool) -> list[Region]:
        whole = super()._regions(width, height, tiling)
        if self.metadata.tile_grid_size is None or not tiling:
            return whole
        return whole + tiles(width, height, self.metadata.tile_grid_size, self.metadata.tile_overlap_ratio).tolist()

    def _in_image(self, piece: Piece, found: Found) -> Found:
        labels = found.detections.labels
        if len(found) and not (labels.min() >= 0 and labels.max() < len(self.metadata.classes)):
            raise ModelError(
                f"The network gave the labels {sorted(set(labels.tolist()))}, "
                f"expected 0 to {len(self.metadata.classes) - 1}. The file and its labels do not belong together."
            )
        return found.placed(piece.placement, piece.left, piece.top)

    def _join(self, parts: list[Found], floors: FloatArray) -> Found:
        found = merged(parts, self.metadata.tile_predictions_nms_threshold)
        return found.take(found.detections.scores > floors[found.detections.labels])
