"""What the stages of the matching head hand to one another: candidates, looks and outputs, down to detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, nms

from stvr.heads.boxes import decode, has_area
from stvr.heads.proposals import ProposalOutputs
from stvr.heads.targets import in_pixels
from stvr.structures import Detections

MAX_PER_CLASS, MAX_DETECTIONS = 15, 30


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Regions of N clips, K a clip, and all of them that does not depend on the query; boxes in pixels.

    boxes (N, K, 4) zero padded, mask (N, K) bool, regions (N, K, 7, 7, C); summary (N, K, 7, 7, S): what the proposal
    network saw there; embeddings (N, K, D): unit vectors; deep (N, K, D'): what `DeepMatch` pools there. These three
    are None for a head without. image_size: (height, width) in pixels.
    """

    boxes: Tensor
    mask: Tensor
    regions: Tensor
    summary: Tensor | None
    embeddings: Tensor | None
    image_size: tuple[int, int]
    deep: Tensor | None = None

    @property
    def shares(self) -> Tensor:
        """The boxes in [0, 1]."""
        return self.boxes / in_pixels(self.image_size, self.boxes)

    def joined(self, other: Candidates) -> Candidates:
        """These of each clip, and then those of the same clips."""
        boxes, mask, regions = (torch.cat(parts, 1) for parts in (
            (self.boxes, other.boxes), (self.mask, other.mask), (self.regions, other.regions)))  # fmt: skip
        summary, embeddings, deep = (None if one is None or two is None else torch.cat([one, two], 1) for one, two in (
            (self.summary, other.summary), (self.embeddings, other.embeddings), (self.deep, other.deep)))  # fmt: skip
        return Candidates(boxes, mask, regions, summary, embeddings, self.image_size, deep)

    def split(self, size: int) -> list[Candidates]:
        """The same, `size` clips at a time."""
        return [self.part(slice(start, start + size)) for start in range(0, len(self.mask), size)]

    def part(self, clips: slice) -> Candidates:
        boxes, mask, regions = self.boxes[clips], self.mask[clips], self.regions[clips]
        others = (self.summary, self.embeddings, self.deep)
        summary, embeddings, deep = (None if each is None else each[clips] for each in others)
        return Candidates(boxes, mask, regions, summary, embeddings, self.image_size, deep)


@dataclass(frozen=True, slots=True, eq=False)
class MatchingLook:
    """N clips of a reference: propagated maps (N, H, W, C), what the proposal network saw (N, H, W, S), candidates.

    deep: the maps (N, H', W', C') that the head matches on, None for a head that matches where it localises. cells:
    as `Where` makes them, by endpoint, None for a head whose candidates do not depend on the query.
    """

    maps: Tensor
    summary: Tensor | None
    candidates: Candidates
    deep: Tensor | None = None
    cells: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True, slots=True, eq=False)
class MatchingOutputs:
    """N = B * T clips, K regions a clip; boxes in pixels of the network's image.

    labels: what a class says of a box, L of them beside background, the query's action last. codes (N, K, L, 4): the
    refinement for each; logits (N, K, 1 + L), background first; attention (N, K, Q). query_embeddings (B, D): unit
    vectors, None for a head without. proposals: what the losses of the first stage need; None where nobody trains.
    sampler: how losses may sample.
    """

    candidates: Candidates
    labels: tuple[int, ...]
    codes: Tensor
    logits: Tensor
    attention: Tensor
    query_embeddings: Tensor | None
    proposals: ProposalOutputs | None = None
    sampler: str = "random"


def detect_clip(outputs: MatchingOutputs, clip: int, nms_iou: float) -> Detections:
    """NMS a class on unclipped boxes, the classes joined, sorted, clipped, boxes without area dropped."""
    real = outputs.candidates.mask[clip]
    regions, height_width = outputs.candidates.boxes[clip, real], outputs.candidates.image_size
    scores = outputs.logits[clip, real].softmax(-1)
    found = []
    for column, label in enumerate(outputs.labels, 1):
        boxes = decode(outputs.codes[clip, real, column - 1], regions)
        kept = nms(boxes, scores[:, column], nms_iou)[:MAX_PER_CLASS]
        kept = kept[scores[kept, column] > 0]
        found.append((boxes[kept], scores[kept, column], torch.full_like(kept, label)))
    boxes, joined, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = joined.argsort(descending=True, stable=True)
    boxes = clip_boxes_to_image(boxes[order], height_width)
    keep = has_area(boxes).nonzero()[:MAX_DETECTIONS, 0]
    scale = in_pixels(height_width, boxes)
    return Detections(boxes[keep] / scale, joined[order][keep], labels[order][keep])
