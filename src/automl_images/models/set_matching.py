"""One prediction for each object: the cheapest assignment between two sets, and the losses of what it pairs.

Formulas: Carion et al., arXiv:2005.12872 (bipartite matching); Sun et al., arXiv:2011.12450, section 3.3 (costs and
weights: 2 focal, 5 L1, 2 GIoU, each by the number of objects).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.ops import generalized_box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from automl_images.models.base import Target

CLASS_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
ALPHA, GAMMA = 0.25, 2.0


@torch.no_grad()
def matching_cost(logits: Tensor, boxes: Tensor, target: Target, size: Tensor) -> Tensor:
    """Return what it costs to give each object of an image to each prediction.

    Args:
        logits: `(N, classes)` float32.
        boxes: `(N, 4)` xyxy, pixels.
        target: M objects.
        size: `(4,)` width, height, width, height by which boxes are divided for the L1 distance.

    Returns:
        `(N, M)`: focal cost (what labelling the prediction so adds to the focal loss), L1 and negative GIoU, weighted.
    """
    here = [logits, torch.ones_like(logits)], [logits, torch.zeros_like(logits)]
    gain = [sigmoid_focal_loss(*pair, alpha=ALPHA, gamma=GAMMA) for pair in here]
    focal = (gain[0] - gain[1])[:, target["labels"]]
    distance = torch.cdist(boxes / size, target["boxes"] / size, p=1.0)
    overlap = generalized_box_iou(boxes, target["boxes"])
    return CLASS_WEIGHT * focal + L1_WEIGHT * distance - GIOU_WEIGHT * overlap


def match(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of the cheapest assignment: indices of predictions and of objects, each `(min(N, M),)`."""
    rows, columns = linear_sum_assignment(cost.nan_to_num(nan=1e9, posinf=1e9, neginf=-1e9).cpu().numpy())
    return torch.from_numpy(rows).to(cost.device), torch.from_numpy(columns).to(cost.device)


def set_losses(logits: Tensor, boxes: Tensor, targets: Sequence[Target], size: Tensor) -> dict[str, Tensor]:
    """Match each image and return the weighted losses.

    Args:
        logits: `(B, N, classes)` float32; boxes: `(B, N, 4)` xyxy, pixels.
        targets: one an image.
        size: `(4,)` width, height, width, height of the canvas.
    """
    wanted, found, objects = torch.zeros_like(logits), [], []
    for row, values, own, target in zip(wanted, logits, boxes, targets, strict=True):
        rows, columns = match(matching_cost(values, own, target, size))
        row[rows] = one_hot(target["labels"][columns], logits.shape[2]).to(row)
        found.append(own[rows])
        objects.append(target["boxes"][columns])
    predicted, true = torch.cat(found), torch.cat(objects).to(boxes)
    count = max(1, sum(len(target["labels"]) for target in targets))
    focal = sigmoid_focal_loss(logits, wanted, alpha=ALPHA, gamma=GAMMA, reduction="sum")
    distance = ((predicted - true) / size).abs().sum()
    overlap = generalized_box_iou_loss(predicted, true, reduction="sum")
    return {
        "classification": CLASS_WEIGHT * focal / count,
        "box": L1_WEIGHT * distance / count,
        "overlap": GIOU_WEIGHT * overlap / count,
    }
