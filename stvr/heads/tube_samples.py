"""Which tubes of a progressive step train, and what they should have been (STEP's sampling)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.structures import LABEL_NONE, LABEL_SAME, Batch

MAX_POSITIVES = 5  # of a clip; more only where more people are annotated
NEGATIVES_EACH = 2  # for a positive one
FOLLOWED_FROM = 0.3  # IoU of a person's boxes in two clips side by side; ours: people have no names in a batch
NOBODY = -1

Draws = list[torch.Generator | None]  # one an item; None draws as torch does
Truth = list[tuple[Tensor, Tensor]]  # of each clip: true boxes (G, 4) in pixels, labels (G,)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """R tubes of one step: of which key, which of its candidates, and which true box it stands for, NOBODY for none.

    boxes (R, 4): that true box in pixels; same (R,) bool: it does what the query shows.
    """

    keys: Tensor
    candidates: Tensor
    truth: Tensor
    boxes: Tensor
    same: Tensor

    @property
    def positive(self) -> Tensor:
        return self.truth != NOBODY


def draws_of(batch: Batch) -> Draws:
    """What each item draws from, whoever else is in the batch."""
    return generators(batch.seeds, len(batch.asked))


def generators(seeds: Tensor | None, count: int) -> Draws:
    """One for each of `count` items, by its seed."""
    return [None] * count if seeds is None else [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]


def truth_of_clips(batch: Batch, item: int, side: int) -> Truth:
    """The true boxes, in pixels, and labels of every clip of an item, padding left out."""
    return [(boxes[labels != LABEL_NONE] * side, labels[labels != LABEL_NONE])
            for boxes, labels in zip(batch.target_boxes[item], batch.target_labels[item], strict=True)]


def first_scores(boxes: Tensor, truth: Truth) -> Tensor:
    """How near each of the first boxes (N, K, 4) comes to a true one: the best IoU (N, K)."""
    return torch.stack([box_iou(own, each).amax(1) if len(each) else own.new_zeros(len(own))
                        for own, (each, _) in zip(boxes, truth, strict=True)])  # fmt: skip


def draw_keys(batch: Batch, count: int, random: Draws) -> Tensor:
    """The clips (N, 2) (item, clip) that train: at most `count` an item, of those with a box where there are some."""
    chosen = []
    for item, mask in enumerate(batch.reference_mask):
        annotated = mask & (batch.target_labels[item] != LABEL_NONE).any(-1)
        among = (annotated if annotated.any() else mask).nonzero()[:, 0]
        clips = among[shuffled(len(among), random[item])[:count].to(among.device)]
        chosen.append(torch.stack([torch.full_like(clips, item), clips], 1))
    return torch.cat(chosen)


def draw_samples(
    boxes: Sequence[Tensor], scores: Sequence[Tensor], truth: Truth, positive_from: float, random: Draws
) -> Samples:
    """Of candidates with boxes (K, 4), those of the key's own clip, and scores (K,); each, and random: one a key."""
    parts: list[tuple[Tensor, ...]] = []
    for key, (true_boxes, labels) in enumerate(truth):
        rows, owner = draw_of_one(boxes[key], scores[key], true_boxes, positive_from, random[key])
        stands = owner != NOBODY
        own, same = boxes[key][rows].clone(), torch.zeros_like(stands)
        own[stands] = true_boxes[owner[stands]]
        same[stands] = labels[owner[stands]] == LABEL_SAME
        parts.append((torch.full_like(rows, key), rows, owner, own, same))
    return Samples(*(torch.cat(each) for each in zip(*parts, strict=True)))


def draw_of_one(
    boxes: Tensor, scores: Tensor, truth: Tensor, positive_from: float, random: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Candidates (R,) of one clip, and the true box that each stands for, (R,).

    Every true box takes its best free candidate, whatever their IoU; others from the threshold on fill up. Negatives
    are drawn by softmax(score) of those below it. Where nobody is annotated, as many as for one person.
    """
    iou = box_iou(boxes, truth) if len(truth) else boxes.new_zeros(len(boxes), 1)
    best, nearest = iou.max(1)
    owner = torch.full_like(nearest, NOBODY)
    for which in range(min(len(truth), len(boxes))):
        owner[iou[:, which].masked_fill(owner != NOBODY, -1.0).argmax()] = which
    more = ((best >= positive_from) & (owner == NOBODY)).nonzero()[:, 0]
    missing = max(0, MAX_POSITIVES - int((owner != NOBODY).sum()))
    more = more[shuffled(len(more), random)[:missing].to(more.device)]
    owner[more] = nearest[more]
    positive = (owner != NOBODY).nonzero()[:, 0]
    below = ((best < positive_from) & (owner == NOBODY)).nonzero()[:, 0]
    wanted = min(len(below), NEGATIVES_EACH * max(1, len(positive)))
    if wanted:
        chances = scores[below].float().softmax(0).cpu()
        below = below[torch.multinomial(chances, wanted, generator=random).to(below.device)]
    rows = torch.cat([positive, below])
    return rows, owner[rows]


def shuffled(count: int, random: torch.Generator | None) -> Tensor:
    return torch.randperm(count, generator=random)


def neighbours_of(samples: Samples, keys: Tensor, every: list[Truth], distance: int) -> tuple[Tensor, Tensor]:
    """Where the person of each sample is `distance` clips before and after: boxes (R, 2, 4), known (R, 2) bool.

    keys (N, 2) (item, clip); every: the truth of all clips of each item.
    """
    boxes = samples.boxes[:, None].repeat(1, 2, 1)
    known = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for row in samples.positive.nonzero()[:, 0].tolist():
        item, clip = keys[samples.keys[row]].tolist()
        for side, offset in enumerate((-distance, distance)):
            box = person_at(every[item], clip, samples.boxes[row], offset)
            if box is not None:
                boxes[row, side], known[row, side] = box, True
    return boxes, known


def person_at(clips: Truth, clip: int, box: Tensor, offset: int) -> Tensor | None:
    """The box (4,) of the person who has `box` in a clip, `offset` clips later; None where it is not annotated.

    clips: the truth of every clip of the item. A person is followed from clip to clip by IoU.
    """
    step = 1 if offset > 0 else -1
    for at in range(clip + step, clip + offset + step, step):
        there = clips[at][0] if 0 <= at < len(clips) else box[:0]
        iou = box_iou(box[None], there)[0] if len(there) else box.new_zeros(1)
        if iou.max() < FOLLOWED_FROM:
            return None
        box = there[iou.argmax()]
    return box
