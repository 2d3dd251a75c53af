"""What the stages of the matching head hand to one another: candidates, looks and outputs, down to detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from stvr.heads.boxes import at, decode, has_area, in_pixels
from stvr.heads.proposals import ProposalOutputs
from stvr.heads.suppression import suppress
from stvr.heads.voting import vote
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
    sampler: how losses may sample. tightness (N, K): a logit of how well the refined box fits, None for a head without.
    """

    candidates: Candidates
    labels: tuple[int, ...]
    codes: Tensor
    logits: Tensor
    attention: Tensor
    query_embeddings: Tensor | None
    proposals: ProposalOutputs | None = None
    sampler: str = "random"
    tightness: Tensor | None = None


class Found(NamedTuple):
    """Detections of N clips, D a clip, best first: boxes (N, D, 4) in [0, 1], scores and labels (N, D).

    Of each clip the first `how_many` (N,) are real.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    how_many: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """The clips of one after those of the other."""
        return cls(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def by_clip(self) -> list[Detections]:
        """Waits for the device: nobody knows before how many there are."""
        return [Detections(boxes[:count], scores[:count], labels[:count]) for boxes, scores, labels, count in zip(
            self.boxes, self.scores, self.labels, self.how_many.tolist(), strict=True)]  # fmt: skip


def detect(outputs: MatchingOutputs, nms_iou: float, vote_iou: float | None = None) -> Found:
    """NMS a class on unclipped boxes, the classes joined, sorted, clipped, boxes without area dropped.

    vote_iou: what is kept becomes the mean of all boxes of its class that share so much with it; None leaves it.
    """
    candidates, num_labels = outputs.candidates, len(outputs.labels)
    probable = outputs.logits.softmax(-1)[..., 1:]
    if outputs.tightness is not None:
        probable = probable * outputs.tightness.sigmoid()[..., None]
    scores = probable.transpose(1, 2).flatten(0, 1)  # (N * L, K)
    boxes = decode(outputs.codes, candidates.boxes[:, :, None]).transpose(1, 2).flatten(0, 1)  # (N * L, K, 4)
    real = candidates.mask[:, None].expand(-1, num_labels, -1).flatten(0, 1)
    index, found = suppress(boxes, scores, nms_iou, MAX_PER_CLASS, real)
    kept = at(boxes, index)
    if vote_iou is not None:
        kept = vote(kept, boxes, scores, real, vote_iou)
    clipped = clip_boxes_to_image(kept, candidates.image_size)
    scores = scores.gather(1, index)
    found = found & (scores > 0) & has_area(clipped)
    boxes, scores, found = (each.unflatten(0, (-1, num_labels)).flatten(1, 2) for each in (clipped, scores, found))
    labels = torch.cat([torch.full_like(index[::num_labels], label) for label in outputs.labels], 1)
    order = scores.where(found, -torch.inf).argsort(descending=True, stable=True)[:, :MAX_DETECTIONS]
    boxes = at(boxes, order) / in_pixels(candidates.image_size, boxes)
    return Found(boxes, scores.gather(1, order), labels.gather(1, order), found.sum(1))
