"""Box arithmetic for a whole batch at once, in operations that export to ONNX with dynamic batch, height and width.

Owns anchors on a grid, decoding, clipping, suppression and padded top-k; the networks in `rcnn_inference.py` and
`retinanet.py` put them together. Everything is `(B, N, …)`: what an image lacks is filled with entries of score -1.

Formulas: Ren et al., "Faster R-CNN", arXiv:1506.01497 (box parametrisation, anchors).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

INVALID = -1.0
"""Score of an entry that is no detection."""

_LARGEST_LOG_SCALE = math.log(1000.0 / 16)


def grid_anchors(cell: Tensor, feature: Tensor, images: Tensor) -> Tensor:
    """Return the anchors of one pyramid level, `(h * w * A, 4)`, in the order of a flattened head output.

    Args:
        cell: `(A, 4)` anchors around the origin, pixels.
        feature: `(B, C, h, w)` map of the level.
        images: `(B, 3, H, W)` the network's input; strides are `H // h` and `W // w`.
    """
    height, width = feature.shape[2], feature.shape[3]
    rows = torch.arange(height, device=feature.device) * (images.shape[2] // height)
    columns = torch.arange(width, device=feature.device) * (images.shape[3] // width)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + cell.to(feature.device, torch.float32)[None]).reshape(-1, 4)


def flatten_head(output: Tensor, values: int) -> Tensor:
    """Turn `(B, A * values, h, w)` into `(B, h * w * A, values)` float32, aligned with `grid_anchors`."""
    return output.float().unflatten(1, (-1, values)).permute(0, 3, 4, 1, 2).flatten(1, 3)


def decode(deltas: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """Apply predicted offsets to reference boxes.

    Args:
        deltas: `(…, 4)` as dx, dy, log dw, log dh, each multiplied by its weight in training.
        boxes: `(…, 4)` xyxy.
        weights: four divisors.

    Returns:
        `(…, 4)` xyxy.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + 0.5 * size
    shift = deltas[..., :2] / deltas.new_tensor(weights[:2])
    scale = (deltas[..., 2:] / deltas.new_tensor(weights[2:])).clamp(max=_LARGEST_LOG_SCALE)
    centre = centre + shift * size
    half = 0.5 * torch.exp(scale) * size
    return torch.cat([centre - half, centre + half], dim=-1)


def extent(images: Tensor) -> Tensor:
    """Return width, height, width, height of the input `(B, 3, H, W)` as float32 `(4,)`."""
    height = torch.tensor(images.shape[2], dtype=torch.float32, device=images.device)
    width = torch.tensor(images.shape[3], dtype=torch.float32, device=images.device)
    return torch.stack([width, height, width, height])


def clip(boxes: Tensor, images: Tensor) -> Tensor:
    """Cut boxes `(…, 4)` off at the borders of the input `(B, 3, H, W)`."""
    return torch.minimum(boxes.clamp(min=0), extent(images).to(boxes.dtype))


def large_enough(boxes: Tensor, side: float) -> Tensor:
    """Tell which boxes `(…, 4)` have both sides of at least `side` pixels."""
    return ((boxes[..., 2:] - boxes[..., :2]) >= side).all(dim=-1)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Pick entries `(B, K)` of `(B, N, 4)` boxes or `(B, N)` numbers."""
    if values.dim() == 3:
        index = index[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, index)


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Return `scores` with `INVALID` where a better box of the same image and group overlaps too much.

    One non-maximum suppression serves the batch: groups are moved apart in x, images in y. (Moving by
    `image * groups + group` in one direction costs float32 its precision: 0.25 pixel for 90 classes in 16 images.)

    Args:
        boxes: `(B, N, 4)` xyxy, not negative.
        scores: `(B, N)`; entries at `INVALID` suppress nothing valid.
        groups: `(B, N)` int64: pyramid level or class.
        threshold: boxes with more overlap (IoU) than this are dropped.
    """
    extent = boxes.max() + 1
    rows = torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(-1, boxes.shape[1])
    shift = torch.stack([groups, rows], dim=-1).to(boxes.dtype) * extent
    shifted = boxes + torch.cat([shift, shift], dim=-1)
    flat = scores.reshape(-1)
    keep = nms(shifted.reshape(-1, 4), flat, threshold)
    kept = torch.full_like(flat, INVALID).scatter(0, keep, flat.gather(0, keep))
    return kept.reshape(scores.shape)


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` highest scores of each row and where they stand, padded with `INVALID` and index 0.

    Args:
        scores: `(B, N)`, N may be smaller than `count`.
        count: K.

    Returns:
        Scores `(B, K)`, falling, and indices `(B, K)`.
    """
    values, index = functional.pad(scores, (0, count), value=INVALID).topk(count, dim=1)
    return values, torch.where(index < scores.shape[1], index, torch.zeros_like(index))


def marked(good: Tensor, scores: Tensor) -> Tensor:
    """Return `scores` with `INVALID` where `good` is False."""
    return torch.where(good, scores, torch.full_like(scores, INVALID))
