"""Training at a random size per batch (specification F)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from automl_images.models.base import Target

MULTIPLE = 32


class RandomSize(nn.Module):
    """Resizes batches to sizes that depend on the seed and the number of the batch only.

    That number is part of the model's state, so that a resumed training draws what it would have drawn; it lives
    outside the device, which need not be asked for it.

    Args:
        image_size: longer side without resizing, pixels, a multiple of 32.
        seed: of the draws.
    """

    def __init__(self, image_size: int, seed: int) -> None:
        super().__init__()
        self.image_size, self.seed = image_size, seed
        self.batches = 0

    def get_extra_state(self) -> Tensor:
        """Return the number of batches so far, for `state_dict`."""
        return torch.tensor(self.batches)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over what `get_extra_state` returned."""
        self.batches = int(state)

    @torch.compiler.disable
    def draw(self) -> int:
        """Return the next longer side in pixels: uniform in [0.5 s, 1.5 s + 32), rounded down to a multiple of 32."""
        generator = np.random.default_rng([self.seed, self.batches])
        self.batches += 1
        side = int(generator.integers(self.image_size // 2, self.image_size * 3 // 2 + MULTIPLE))
        return max(MULTIPLE, side // MULTIPLE * MULTIPLE)

    def forward(self, images: Tensor, targets: Sequence[Target]) -> tuple[Tensor, list[Target]]:
        """Resize `(B, 3, H, W)` bilinearly, and the boxes with them."""
        height, width = images.shape[-2:]
        factor = self.draw() / max(height, width)
        size = [max(MULTIPLE, round(side * factor / MULTIPLE) * MULTIPLE) for side in (height, width)]
        resized = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        zoom = images.new_tensor([size[1] / width, size[0] / height] * 2)
        return resized, [{**target, "boxes": target["boxes"] * zoom} for target in targets]
