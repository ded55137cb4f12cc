"""Adaptive training sample selection: which places of a pyramid learn which object.

Owns the assignment alone. Source: Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection via
Adaptive Training Sample Selection", arXiv:1912.02424, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

CANDIDATES = 9
NO_OBJECT = -1


def adaptive_matches(boxes: Tensor, anchors: Sequence[Tensor]) -> Tensor:
    """Match objects with anchors by a threshold of overlap that each object sets for itself.

    Candidates are the nine anchors of each level whose centres are nearest; those whose overlap reaches the candidates'
    mean plus standard deviation and whose centre lies inside the object are its own. An anchor of several objects
    belongs to the one that it overlaps most.

    Args:
        boxes: `(M, 4)` xyxy objects.
        anchors: of each level, `(N_l, 4)` xyxy, one a place.

    Returns:
        `(sum N_l,)` int64: index of the object, -1 for none.
    """
    everything = torch.cat(list(anchors))
    if len(boxes) == 0:
        return torch.full((len(everything),), NO_OBJECT, dtype=torch.int64, device=everything.device)
    centres = (everything[:, :2] + everything[:, 2:]) / 2
    overlap = box_iou(boxes, everything)
    index = _nearest((boxes[:, :2] + boxes[:, 2:]) / 2, centres, [len(level) for level in anchors])
    among = overlap.gather(1, index)
    threshold = among.mean(dim=1, keepdim=True) + among.std(dim=1, keepdim=True, correction=0)
    place = centres[index]
    inside = torch.cat([place - boxes[:, None, :2], boxes[:, None, 2:] - place], dim=-1).amin(dim=-1) > 0
    own = torch.where((among >= threshold) & inside, among, torch.full_like(among, -1.0))
    taken = torch.full_like(overlap, -1.0).scatter(1, index, own)
    most, owner = taken.max(dim=0)
    return torch.where(most >= 0, owner, torch.full_like(owner, NO_OBJECT))


def _nearest(objects: Tensor, centres: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return for each object the indices of the nearest anchors of every level: `(M, candidates)`."""
    found, start = [], 0
    for length in lengths:
        distance = torch.cdist(objects, centres[start : start + length])
        found.append(start + distance.topk(min(CANDIDATES, length), dim=1, largest=False).indices)
        start += length
    return torch.cat(found, dim=1)
