"""What the data sets of all tasks share: decoded images at hand, and one generator a sample."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
import torch

from automl_images.core.types import ImageArray, Row
from automl_images.data.image_cache import ImageCache
from automl_images.data.images import read_image

CACHE_BYTES = 512 * 2**20


class DecodedImages:
    """Images of rows, decoded; keeps the latest within `limit` bytes (each loader process has its own).

    Sets that fit are decoded once; images that mosaics and tiles ask for again come from here. Others come from the
    cache on disk that the surroundings name, if they do.
    """

    def __init__(self, rows: Sequence[Row], limit: int = CACHE_BYTES) -> None:
        self.rows = rows
        self.limit = limit
        self._kept: collections.OrderedDict[int, ImageArray] = collections.OrderedDict()
        self._bytes = 0
        cache = ImageCache.from_environment()
        self._read = read_image if cache is None else cache.read

    def __getitem__(self, index: int) -> ImageArray:
        """Return the upright `(H, W, 3)` uint8 image of row `index`.

        Raises:
            ImageError: it cannot be read.
        """
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        image = self._read(self.rows[index]["image_url"])
        self._kept[index] = image
        self._bytes += image.nbytes
        while self._bytes > self.limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return image


def generator_of_sample(seed: int, epoch: int, index: int) -> torch.Generator:
    """Return the one source of randomness of a training sample; the same numbers give the same sample.

    NumPy's SeedSequence makes neighbours unrelated.
    """
    mixed = int(np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(mixed)
