"""STEP's progressive tubelets (Yang et al., CVPR 2019) as a localiser: the scores of classes are matches with a query.

Written from a description of the paper and its released configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from stvr.heads.progression import KEYS_AT_ONCE, Progression, Window
from stvr.heads.progressive_losses import Trained, losses_of, summed
from stvr.heads.tube_looks import TubeLooks
from stvr.heads.tube_samples import draw_keys, draw_samples, draws_of, first_scores, neighbours_of, truth_of_clips
from stvr.heads.tubes import central
from stvr.structures import LABEL_SAME, Batch, Detections, Features, Query

LEAST_SCORE, NMS_IOU, MAX_DETECTIONS = 0.01, 0.4, 30  # the first two are STEP's
MAX_CANDIDATES = 34  # of a clip, from which the second step and those after it sample
MATCH_SCALE, MATCH_BIAS = 10.0, -5.0  # of a cosine, before training


@dataclass(frozen=True, slots=True, eq=False)
class ProgressiveLook:
    """T clips of a reference.

    boxes (T, K, 4) in pixels and values (T, K, D): what the progression ends with. maps (T', H, W, C): those clips and
    the ones around them, adapted; frames (T, F): which of them are in each clip's window.
    """

    boxes: Tensor
    values: Tensor
    maps: Tensor
    frames: Tensor

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class ProgressiveOutputs:
    """asked (B, S, D): unit vectors of the queries at each step. steps: in training; found: otherwise, one a clip."""

    asked: Tensor
    steps: Sequence[Trained] = ()
    found: Sequence[Detections] = ()


class ProgressiveHead(TubeLooks):
    """Batch -> scored boxes. adapter: feature maps (..., C_in) -> (..., C), clip by clip.

    num_keys: clips of a training reference that train. positive_from: for each step, the IoU from which a tube stands
    for a person.
    """

    def __init__(
        self, adapter: nn.Module, progression: Progression, *, num_keys: int, positive_from: Sequence[float],
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(adapter, progression)
        self.num_keys, self.positive_from, self.dropout = num_keys, tuple(positive_from), dropout
        self.num_steps = len(progression.steps)
        self.scale = nn.Parameter(torch.full((self.num_steps,), MATCH_SCALE))
        self.bias = nn.Parameter(torch.full((self.num_steps,), MATCH_BIAS))

    def pool(self, features: Features, boxes: Tensor) -> dict[str, Tensor]:
        """The values (Q, D) of each step."""
        return self.pooled(self.adapter(features.only), boxes)

    def pooled(self, maps: Tensor, boxes: Tensor, dropout: float = 0.0) -> dict[str, Tensor]:
        """Adapted maps (Q, H, W, C) of one example, which is one tube for every step."""
        window, tube = self.progression.window(maps[None]), (boxes * self.progression.side)[None]
        key = torch.zeros(1, dtype=torch.long, device=maps.device)
        return {name_of(step): self.progression.shown(step, window, key, tube, dropout)[0]
                for step in range(self.num_steps)}  # fmt: skip

    def see(self, maps: Tensor, start: int, stop: int) -> ProgressiveLook:
        """The look at clips [start, stop) of adapted maps (T', H, W, C), of which the others are around."""
        frames = self.progression.frames(torch.arange(start, stop, device=maps.device), len(maps))
        found = [self.progression(self.progression.window(maps[part])) for part in frames.split(KEYS_AT_ONCE)
                 if len(part)]  # fmt: skip
        if not found:
            none = maps.new_zeros(0, len(self.progression.first), 4)
            return ProgressiveLook(none, none, maps, frames)
        boxes, values = (torch.cat(each) for each in zip(*found, strict=True))
        return ProgressiveLook(boxes, values, maps, frames)

    def ask(self, look: ProgressiveLook, query: Query) -> list[Detections]:
        if not len(look):
            return []
        scores = self.scores(look.values, self.asked_with(query))
        return [self.detect(*each) for each in zip(look.boxes, scores, strict=True)]

    def detect(self, boxes: Tensor, scores: Tensor) -> Detections:
        """Of one clip: boxes (K, 4) in pixels, scores (K,)."""
        real = scores > LEAST_SCORE
        boxes, scores = boxes[real], scores[real]
        kept = nms(boxes, scores, NMS_IOU)[:MAX_DETECTIONS]
        return Detections(boxes[kept] / self.progression.side, scores[kept], torch.full_like(kept, LABEL_SAME))

    def proposals_of(self, look: ProgressiveLook, query: Query | None = None) -> list[Tensor]:
        """The boxes that the progression ends with; without a query in the order of the grid."""
        boxes = look.boxes / self.progression.side
        if query is None or not len(look):
            return list(boxes)
        order = self.scores(look.values, self.asked_with(query)).argsort(descending=True)
        return list(boxes.gather(1, order[..., None].expand_as(boxes)))

    def score_boxes(self, look: ProgressiveLook, query: Query, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Each box stands still over the clips that the last step sees."""
        asked, last, found = self.asked_with(query), self.num_steps - 1, []
        length = self.progression.tube_clips * self.progression.chunks[-1]
        for frames, own in zip(look.frames, boxes, strict=True):
            tubes = (own.to(look.maps) * self.progression.side)[:, None].expand(-1, length, -1)
            key = torch.zeros(len(own), dtype=torch.long, device=look.maps.device)
            window = self.progression.window(look.maps[frames][None])
            found.append(self.scores(self.progression.shown(last, window, key, tubes).mean(1), asked))
        return found

    def asked_with(self, query: Query) -> Tensor:
        """(D,)"""
        return F.normalize(query.regions[name_of(self.num_steps - 1)].mean(0), dim=-1)

    def logits(self, step: int, values: Tensor, asked: Tensor) -> Tensor:
        """How values (..., R, D) match unit vectors (..., B, D): (..., R, B)."""
        return self.scale[step] * (F.normalize(values, dim=-1) @ asked.mT) + self.bias[step]

    def scores(self, values: Tensor, asked: Tensor) -> Tensor:
        """How what the progression ends with, values (..., D), matches a unit vector (D,): (...), in [0, 1]."""
        return self.logits(-1, values, asked[None])[..., 0].sigmoid()

    def forward(self, batch: Batch) -> ProgressiveOutputs:
        maps, asked = self.adapter(batch.reference), self.asked_in(batch)
        return self.train_on(batch, maps, asked) if self.training else self.answer(batch, maps, asked)

    def asked_in(self, batch: Batch) -> Tensor:
        """Unit vectors (B, S, D). Item by item: an example is a tube, and has no clips of padding."""
        maps, dropout = self.adapter(batch.query), self.dropout if self.training else 0.0
        asked = []
        for own, boxes, mask in zip(maps, batch.query_boxes, batch.query_mask, strict=True):
            values = self.pooled(own[mask], boxes[mask], dropout)
            asked.append(torch.stack([each.mean(0) for each in values.values()]))
        return F.normalize(torch.stack(asked), dim=-1)

    def answer(self, batch: Batch, maps: Tensor, asked: Tensor) -> ProgressiveOutputs:
        found: list[Detections] = []
        nothing = self.detect(maps.new_zeros(0, 4), maps.new_zeros(0))
        for own, mask, query in zip(maps, batch.reference_mask, asked, strict=True):
            look = self.see(own[mask], 0, int(mask.sum()))
            scores = self.scores(look.values, query[-1])
            found += [self.detect(*each) for each in zip(look.boxes, scores, strict=True)]
            found += [nothing] * int((~mask).sum())
        return ProgressiveOutputs(asked, found=found)

    def answers(self, outputs: ProgressiveOutputs) -> list[Detections]:
        return list(outputs.found)

    def train_on(self, batch: Batch, maps: Tensor, asked: Tensor) -> ProgressiveOutputs:
        """Every step on samples of the tubes that the steps before it made, without a gradient through those."""
        random = draws_of(batch)
        keys = draw_keys(batch, self.num_keys, random)
        items, clips = keys.unbind(1)
        every = [truth_of_clips(batch, item, self.progression.side) for item in range(len(asked))]
        truth, own = [every[item][clip] for item, clip in keys.tolist()], [random[item] for item in items.tolist()]
        frames = self.progression.frames(clips, batch.reference_mask.sum(1)[items])
        window = self.progression.window(maps[items[:, None], frames])
        tubes = self.progression.first_tubes(len(keys))
        scores = first_scores(central(tubes, 1, 2)[:, :, 0], truth)
        steps = []
        for number, threshold in enumerate(self.positive_from):
            samples = draw_samples(list(central(tubes, 1, 2)[:, :, 0]), list(scores), truth, threshold, own)
            chosen = tubes[samples.keys, samples.candidates]
            outputs = self.progression.see(number, window, samples.keys, chosen, self.dropout)
            around = None
            if outputs.before is not None:
                around = neighbours_of(samples, keys, every, self.progression.distance(number))
            steps.append(Trained(samples, items[samples.keys], chosen, outputs, around))
            if number + 1 < self.num_steps:
                tubes, scores = self.candidates_after(number, window, tubes, asked[items, number])
        return ProgressiveOutputs(asked, steps)

    @torch.no_grad()
    def candidates_after(self, number: int, window: Window, tubes: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Tubes (N, K, F, 4) of N keys, asked for with (N, D) -> the best of the next step's, and their scores."""
        keys = torch.arange(len(tubes), device=tubes.device).repeat_interleave(tubes.shape[1])
        outputs = self.progression.see(number, window, keys, tubes.flatten(0, 1))
        moved = self.progression.advance(number, outputs, tubes.flatten(0, 1)).unflatten(0, tubes.shape[:2])
        values = outputs.values.mean(1).unflatten(0, tubes.shape[:2])
        scores = self.logits(number, values, asked[:, None])[..., 0].sigmoid()  # (N, K)
        best = scores.topk(min(MAX_CANDIDATES, scores.shape[1])).indices
        return moved[torch.arange(len(moved), device=best.device)[:, None], best], scores.gather(1, best)

    def losses(self, outputs: ProgressiveOutputs, batch: Batch) -> dict[str, Tensor]:
        """match, box, neighbour: each the sum over the steps."""
        return summed(losses_of(step, self.logits(number, step.outputs.values.mean(1), outputs.asked[:, number]),
                                batch.asked) for number, step in enumerate(outputs.steps))


def name_of(step: int) -> str:
    """Of a step, from 0 on, as a query has its values."""
    return f"step{step + 1}"
