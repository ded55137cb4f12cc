"""Faster and Mask R-CNN from images to detections for a batch at once: for torch and for the ONNX graph alike.

Owns the inference graph over the trained modules of `rcnn.py`; losses stay there. Gives the detections of
torchvision's own inference, which cannot be exported with a dynamic batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign, roi_align

from automl_images.models import batched
from automl_images.models.base import Prediction

OUTPUTS = ("boxes", "labels", "scores", "num_detections")
MASK_OUTPUTS = (*OUTPUTS, "masks")
Padded = tuple[Tensor, Tensor, Tensor, Tensor]
"""Boxes `(B, K, 4)`, labels `(B, K)`, scores `(B, K)` by falling score, number of detections `(B,)`."""
PaddedWithMasks = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""`Padded` and masks `(B, K, M, M)`: probabilities in [0, 1] on a grid over each box, 0 in the padding."""

SMALLEST_PROPOSAL = 1e-3
SMALLEST_DETECTION = 1e-2
LEAST_CANDIDATES = 1000
CANDIDATES_PER_DETECTION = 10


class BatchedRCNN(nn.Module):
    """Detections of a batch as padded tensors; shares modules and thresholds with the detector it is made from."""

    def __init__(self, backbone: nn.Module, rpn: RegionProposalNetwork, roi_heads: RoIHeads) -> None:
        super().__init__()
        self.backbone = backbone
        self.rpn = rpn
        self.roi_heads = roi_heads

    def forward(self, images: Tensor) -> Padded | PaddedWithMasks:
        """Detect.

        Args:
            images: `(B, 3, H, W)` float32, preprocessed.

        Returns:
            Boxes `(B, K, 4)`, labels `(B, K)` counted from 1 (0 is background), scores `(B, K)` by falling score, and
            the number of detections `(B,)`; entries after it are padding with score -1. Where the heads have a part
            for masks also these, `(B, K, M, M)`.
        """
        features = self.backbone(images)
        proposals, valid = self._propose(images, list(features.values()))
        pooled = pool_regions(features, proposals, images, self.roi_heads.box_roi_pool)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        found = self._detect(images, proposals, valid, logits.float(), deltas.float())
        return (*found, self._masks(features, images, found)) if self.roi_heads.has_mask() else found

    def _propose(self, images: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return proposals `(B, P, 4)` and which of them are real `(B, P)`."""
        boxes, scores, levels = [], [], []
        cells = self.rpn.anchor_generator.cell_anchors
        for level, (feature, logits, deltas) in enumerate(zip(features, *self.rpn.head(features), strict=True)):
            anchors = batched.grid_anchors(cells[level], feature, images)
            values = batched.flatten_head(logits, 1)[..., 0]
            values, index = values.topk(torch.sym_min(values.shape[1], self.rpn.pre_nms_top_n()), dim=1)
            offsets = batched.take(batched.flatten_head(deltas, 4), index)
            boxes.append(batched.clip(batched.decode(offsets, anchors[index], self.rpn.box_coder.weights), images))
            scores.append(values)
            levels.append(torch.full_like(index, level))
        candidates, rank = torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
        score = rank - rank.amin(dim=1, keepdim=True)  # orders as the sigmoid does, which onnxruntime rounds to 3e-8
        score = batched.marked(batched.large_enough(candidates, SMALLEST_PROPOSAL), score)
        score = batched.suppress(candidates, score, torch.cat(levels, dim=1), self.rpn.nms_thresh)
        score, index = batched.best(score, self.rpn.post_nms_top_n())
        return batched.take(candidates, index), score > batched.INVALID

    def _detect(self, images: Tensor, proposals: Tensor, valid: Tensor, logits: Tensor, deltas: Tensor) -> Padded:
        heads, count, classes = self.roi_heads, proposals.shape[1], logits.shape[1]
        probabilities = logits.softmax(dim=-1).unflatten(0, (-1, count))[:, :, 1:]
        deltas = deltas.unflatten(1, (classes, 4)).unflatten(0, (-1, count))[:, :, 1:]
        boxes = batched.clip(batched.decode(deltas, proposals[:, :, None], heads.box_coder.weights), images)
        labels = torch.arange(1, classes, device=images.device).expand(probabilities.shape)
        good = (probabilities > heads.score_thresh) & batched.large_enough(boxes, SMALLEST_DETECTION)
        scores = batched.marked(good & valid[:, :, None], probabilities)
        return select(
            boxes.flatten(1, 2), labels.flatten(1), scores.flatten(1), heads.nms_thresh, heads.detections_per_img
        )

    def _masks(self, features: dict[str, Tensor], images: Tensor, found: Padded) -> Tensor:
        """Return the masks of the predicted classes; only as many places as the fullest image needs are worked on."""
        boxes, labels, _, number = found
        heads, count, most = self.roi_heads, boxes.shape[1], _largest(number)
        labels = labels[:, :most].reshape(-1, 1, 1, 1)
        pooled = pool_regions(features, boxes[:, :most], images, heads.mask_roi_pool)
        logits = heads.mask_predictor(heads.mask_head(pooled)).float()
        own = logits.gather(1, labels.expand(-1, 1, logits.shape[2], logits.shape[3]))[:, 0].sigmoid()
        masks = functional.pad(own.unflatten(0, (images.shape[0], most)), (0, 0, 0, 0, 0, count - most))
        places = torch.arange(count, device=images.device)
        return masks * (places < number[:, None])[:, :, None, None]


def select(boxes: Tensor, labels: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Padded:
    """Suppress overlapping detections of a class and keep the best.

    Only the best candidates, ten for each place and a thousand at least, take part in the suppression.

    Args:
        boxes: `(B, N, 4)`; labels: `(B, N)`; scores: `(B, N)` with -1 for what is no detection.
        iou_threshold: overlap from which the worse of two is dropped.
        count: K.

    Returns:
        Boxes `(B, K, 4)`, labels `(B, K)`, scores `(B, K)` and number `(B,)`.
    """
    scores, index = batched.best(scores, max(LEAST_CANDIDATES, CANDIDATES_PER_DETECTION * count))
    boxes, labels = batched.take(boxes, index), batched.take(labels, index)
    scores, index = batched.best(batched.suppress(boxes, scores, labels, iou_threshold), count)
    number = (scores > batched.INVALID).sum(dim=1)
    return batched.take(boxes, index), batched.take(labels, index), scores, number


def unpad(padded: Padded | PaddedWithMasks, sizes: Tensor | None, first_label: int = 0) -> list[Prediction]:
    """Turn padded detections into one prediction per image, cut to the images' own sizes.

    Boxes with masks are not cut, as their grids lie over all of them.

    Args:
        padded: boxes `(B, K, 4)`, labels and scores `(B, K)`, numbers `(B,)` of detections before the padding, and
            perhaps masks `(B, K, M, M)`.
        sizes: `(B, 2)` height and width, or None for the whole canvas. A detection outside is dropped.
        first_label: what the first class is called in `padded`: 1 after a background, else 0.
    """
    boxes, labels, scores, numbers, *masks = padded
    predictions = []
    for image, number in enumerate(numbers.tolist()):
        whole = kept = boxes[image, :number]
        if sizes is not None:
            height, width = sizes[image].to(kept).unbind()
            kept = torch.minimum(kept, torch.stack([width, height, width, height]))
        inside = batched.large_enough(kept, SMALLEST_DETECTION)
        names = labels[image, :number][inside] - first_label
        found = {"boxes": kept[inside], "labels": names, "scores": scores[image, :number][inside]}
        if masks:
            found |= {"boxes": whole[inside], "masks": masks[0][image, :number][inside]}
        predictions.append(found)
    return predictions


def pool_regions(features: dict[str, Tensor], boxes: Tensor, images: Tensor, pool: MultiScaleRoIAlign) -> Tensor:
    """Cut the features of boxes `(B, N, 4)` of `images` out of the levels that `pool` names: `(B * N, C, h, w)`."""
    if torch.compiler.is_exporting():
        return _pool_for_export([features[name] for name in pool.featmap_names], boxes, pool)
    size = (images.shape[2], images.shape[3])
    return pool(features, list(boxes), [size] * len(boxes))


def _pool_for_export(features: list[Tensor], proposals: Tensor, pool: MultiScaleRoIAlign) -> Tensor:
    """Pool all proposals on all levels and keep each one's own: more work, but no shape depends on values.

    The level of a proposal is equation 1 of Lin et al., "Feature Pyramid Networks", arXiv:1612.03144.
    """
    batch, count = proposals.shape[0], proposals.shape[1]
    rows = torch.arange(batch, device=proposals.device)[:, None, None].expand(-1, count, 1)
    rois = torch.cat([rows.to(proposals.dtype), proposals], dim=-1).reshape(-1, 5)
    side = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    mapper = pool.map_levels
    level = torch.floor(mapper.lvl0 + torch.log2(side / mapper.s0) + mapper.eps).clamp(mapper.k_min, mapper.k_max)
    parts = []
    for number, (feature, scale) in enumerate(zip(features, pool.scales, strict=True)):
        own = (level == mapper.k_min + number).to(feature.dtype)[:, None, None, None]
        parts.append(roi_align(feature, rois, pool.output_size, scale, pool.sampling_ratio) * own)
    return sum(parts[1:], parts[0])


def _largest(number: Tensor) -> Any:
    """Return the largest of `(B,)` numbers: an int, or while a graph is made its symbol, which `int` would refuse."""
    largest = number.max().item()
    torch._check(largest >= 0)
    return largest
