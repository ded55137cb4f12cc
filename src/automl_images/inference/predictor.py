"""From images to detections in their pixels: the one way in which every model is used after training.

Evaluation, the parity gate, batch scoring and the endpoint all come through here: preprocess, batch, run, decode, undo
the resize, cut tiles and merge them, thresholds. What runs the network is a backend; reading files is `data/images.py`,
the response's schema is `data/mltable.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_images.core.errors import ModelError
from automl_images.core.types import Detections, FloatArray, ImageArray
from automl_images.data.preprocessing import Placement, preprocess
from automl_images.data.tiling import merge, tiles
from automl_images.inference.backend import Backend, OnnxBackend
from automl_images.inference.decoders import DECODERS
from automl_images.inference.metadata import ModelMetadata
from automl_images.inference.model_folder import MODEL_FILE, read_verified

PENDING_BATCHES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class _Piece:
    """An image or one of its tiles, preprocessed; `part` counts the pieces of an image, 0 is the whole."""

    image: int
    part: int
    left: int
    top: int
    pixels: FloatArray
    placement: Placement


class Predictor:
    """A model with everything around it.

    Attributes:
        metadata: thresholds, names and preprocessing in use. For other settings than the file's make a predictor with
            a changed copy: `Predictor(backend, metadata.model_copy(update={"tile_grid_size": (3, 2)}))`.
    """

    def __init__(self, backend: Backend, metadata: ModelMetadata) -> None:
        """Join a backend with the metadata of its model.

        Raises:
            ModelError: the metadata names a decoder that does not exist.
        """
        if metadata.decoder not in DECODERS:
            raise ModelError(
                f"The model's outputs need the decoder {metadata.decoder!r}, this version has "
                f"{', '.join(DECODERS)}. Use the version of automl-images that exported the model."
            )
        self.backend = backend
        self.metadata = metadata
        self._decode = DECODERS.get(metadata.decoder)

    @classmethod
    def from_onnx(cls, model: Path | str | bytes, threads: int | None = None) -> Self:
        """Load an ONNX file or its bytes; see `OnnxBackend` for arguments and errors."""
        backend = OnnxBackend(model, threads)
        return cls(backend, backend.metadata)

    @classmethod
    def from_folder(cls, folder: Path | str, threads: int | None = None) -> Self:
        """Load `model.onnx` of a model folder after checking it against `manifest.json`.

        Raises:
            ModelError: the folder is incomplete, the file was changed since the export, or it cannot be loaded.
        """
        return cls.from_onnx(read_verified(Path(folder), MODEL_FILE), threads)

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

    def outputs(self, images: Sequence[ImageArray], *, batch_size: int = 1) -> Iterator[list[NDArray[Any]]]:
        """Yield what the network gives for each batch of images or tiles, undecoded; for comparing two backends."""
        for _, outputs in self._run(images, True, batch_size):
            yield outputs

    def _run(
        self, images: Sequence[ImageArray], tiling: bool, batch_size: int
    ) -> Iterator[tuple[list[_Piece], list[NDArray[Any]]]]:
        size = batch_size if self.backend.dynamic_batch else 1
        for batch in _equal_shapes(self._pieces(images, tiling), size):
            yield batch, self.backend.run(np.stack([piece.pixels for piece in batch]))

    def _score_floors(self, score_threshold: float | None) -> FloatArray:
        if score_threshold is not None:
            return np.full(len(self.metadata.classes), score_threshold, np.float32)
        own = self.metadata.class_score_thresholds
        floors = [own.get(name, self.metadata.box_score_threshold) for name in self.metadata.classes]
        return np.asarray(floors, np.float32)

    def _pieces(self, images: Sequence[ImageArray], tiling: bool) -> Iterator[_Piece]:
        grid = self.metadata.tile_grid_size if tiling else None
        for index in range(len(images)):
            image = images[index]
            height, width = image.shape[:2]
            regions = [(0, 0, width, height)]
            if grid is not None:
                regions += tiles(width, height, grid, self.metadata.tile_overlap_ratio).tolist()
            for part, (left, top, right, bottom) in enumerate(regions):
                crop = image[top:bottom, left:right]
                yield _Piece(index, part, left, top, *preprocess(crop, self.metadata.input_preprocessing))

    def _in_image(self, piece: _Piece, found: Detections) -> Detections:
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


def _equal_shapes(pieces: Iterator[_Piece], size: int) -> Iterator[list[_Piece]]:
    """Group pieces of equal shape into batches of at most `size`, holding only few of them in memory."""
    waiting: dict[tuple[int, ...], list[_Piece]] = {}
    for piece in pieces:
        group = waiting.setdefault(piece.pixels.shape, [])
        group.append(piece)
        if len(group) == size:
            yield waiting.pop(piece.pixels.shape)
        elif sum(map(len, waiting.values())) >= PENDING_BATCHES * size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()
