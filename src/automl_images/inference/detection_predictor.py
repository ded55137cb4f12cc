"""From images to detections in their pixels: the one way in which every detector is used after training.

Owns decoding, undoing the resize, merging what tiles found, and thresholds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from automl_images.core.errors import ModelError
from automl_images.core.types import Detections, FloatArray, ImageArray
from automl_images.data.tiling import merge, tiles
from automl_images.inference.backend import Backend
from automl_images.inference.decoders import DECODERS
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
            One `Detections` per image, in its pixels, by falling score, clipped to the image.

        Raises:
            ModelError: the network fails, or gives numbers that are not finite or labels that do not exist.
        """
        floors = self._score_floors(score_threshold)
        parts: list[dict[int, Detections]] = [{} for _ in range(len(images))]
        for batch, outputs in self._run(images, tiling, batch_size):
            found = self._decode(outputs, self.metadata, float(floors.min()))
            for piece, detections in zip(batch, found, strict=True):
                parts[piece.image][piece.part] = self._in_image(piece, detections)
        return [self._join([found[part] for part in sorted(found)], floors) for found in parts]

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

    def _in_image(self, piece: Piece, found: Detections) -> Detections:
        if len(found) and not (found.labels.min() >= 0 and found.labels.max() < len(self.metadata.classes)):
            raise ModelError(
                f"The network gave the labels {sorted(set(found.labels.tolist()))}, "
                f"expected 0 to {len(self.metadata.classes) - 1}. The file and its labels do not belong together."
            )
        boxes = piece.placement.to_image(found.boxes)
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        shift = np.asarray([piece.left, piece.top] * 2, np.float32)
        return dataclasses.replace(found, boxes=(boxes + shift).astype(np.float32)).take(has_area)

    def _join(self, parts: list[Detections], floors: FloatArray) -> Detections:
        found = parts[0] if len(parts) == 1 else merge(parts, self.metadata.tile_predictions_nms_threshold)
        return found.take(found.scores > floors[found.labels])
