"""STEP (Yang et al., CVPR 2019): people and what each of them does, from a grid of boxes that gets better step by step.

Written from a description of the paper and its released configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from stvr.heads.jitter import draw_boxes
from stvr.heads.progression import KEYS_AT_ONCE, Progression, Window
from stvr.heads.progressive_losses import Trained, box_losses, summed
from stvr.heads.tube_looks import TubeLooks
from stvr.heads.tube_samples import NOBODY, Samples, draw_samples, first_scores, generators
from stvr.heads.tubes import PIXEL, central
from stvr.structures import Detections, PeopleBatch, Query

LEAST_SCORE, NMS_IOU, MAX_DETECTIONS = 0.01, 0.4, 300
MAX_CANDIDATES = 34  # of a keyframe, from which the second step and those after it sample


@dataclass(frozen=True, slots=True, eq=False)
class StepLook:
    """T clips of a video. steps: after each step the boxes (T, K, 4) in pixels, and the logits (T, K, C)."""

    steps: Sequence[tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return len(self.steps[0][0])


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """In the pre-training: logits (R, C) of boxes, and what they show, wanted (R, C)."""

    logits: Tensor
    wanted: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PeopleOutputs:
    """Of B keyframes. trained and wanted (R, C) of each step, or classified: in training.

    Otherwise found: of each step, a Detections a keyframe; given (B, G, C): probabilities at the true boxes, as the
    last step sees them.
    """

    trained: Sequence[tuple[Trained, Tensor]] = ()
    classified: Classified | None = None
    found: Sequence[Sequence[Detections]] = ()
    given: Tensor | None = None


class StepHead(TubeLooks):
    """Batch of keyframes -> scored boxes of every class, after every step.

    positive_from: for each step, the IoU from which a tube stands for a person. seconds: of a clip. pretrain: learn to
    classify true boxes, moved a little, by the first step alone, and find nobody.
    """

    def __init__(
        self, adapter: nn.Module, progression: Progression, *, num_classes: int, positive_from: Sequence[float],
        dropout: float, seconds: float, pretrain: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(adapter, progression)
        self.num_classes, self.positive_from, self.dropout = num_classes, tuple(positive_from), dropout
        self.seconds, self.pretrain = seconds, pretrain
        if pretrain:
            progression.step(0).where.requires_grad_(False)

    def start_from(self, other: nn.Module) -> None:
        """Adapter, context and what each step sees a tubelet by, all from the first step of a pre-trained head.

        Or I3D's own layers, as in `TubeLooks`.
        """
        if not isinstance(other, StepHead):
            super().start_from(other)
            return
        mine, theirs = self.progression, other.progression
        pairs: list[tuple[nn.Module | None, nn.Module | None]] = [
            (self.adapter, other.adapter), (mine.deepen, theirs.deepen), (mine.context, theirs.context),
        ]  # fmt: skip
        shown = theirs.step(0).what
        for number in range(len(mine.steps)):
            what = mine.step(number).what
            pairs += [(what.tail, shown.tail), (what.reduce, shown.reduce)]
        try:
            for own, given in pairs:
                if own is not None and given is not None:
                    own.load_state_dict(given.state_dict())
        except RuntimeError:
            raise ValueError("the pre-trained head has other sizes than this one. Give both the same [head].") from None

    def see(self, maps: Tensor, start: int, stop: int) -> StepLook:
        frames = self.progression.frames(torch.arange(start, stop, device=maps.device), len(maps))
        found = [list(self.progression.each_step(self.progression.window(maps[part])))
                 for part in frames.split(KEYS_AT_ONCE) if len(part)]  # fmt: skip
        if not found:
            boxes = maps.new_zeros(0, len(self.progression.first), 4)
            nothing = boxes, maps.new_zeros(*boxes.shape[:2], self.num_classes)
            return StepLook([nothing] * len(self.progression.steps))
        return StepLook([(torch.cat([boxes for boxes, _ in step]), torch.cat([logits for _, logits in step]))
                         for step in zip(*found, strict=True)])  # fmt: skip

    def people(self, look: StepLook, step: int = -1) -> list[Detections]:
        """Everybody in each clip, a box for each class that it shows, best first; labels count the classes from 0."""
        return self.detect_all(*look.steps[step])

    def detect_all(self, boxes: Tensor, logits: Tensor) -> list[Detections]:
        return [self.detect(*each) for each in zip(boxes, logits.sigmoid(), strict=True)]

    def detect(self, boxes: Tensor, scores: Tensor) -> Detections:
        """Of one clip: boxes (K, 4) in pixels, scores (K, C)."""
        rows, labels = (scores > LEAST_SCORE).nonzero().unbind(1)
        boxes, scores = boxes[rows], scores[rows, labels]
        with_last_pixel = boxes + boxes.new_tensor([0.0, 0.0, PIXEL, PIXEL])
        kept = batched_nms(with_last_pixel, scores, labels, NMS_IOU)[:MAX_DETECTIONS]
        return Detections(boxes[kept] / self.progression.side, scores[kept], labels[kept])

    def pool(self, features: object, boxes: Tensor) -> Tensor:
        raise ValueError("the head 'step' knows its classes and is asked with no query. Ask it by `stvr predict`.")

    def ask(self, look: StepLook, query: Query) -> list[Detections]:
        """A query cannot be made for this head: `pool` refuses."""
        return self.people(look)

    def forward(self, batch: PeopleBatch) -> PeopleOutputs:
        window = self.progression.window(self.adapter(batch.window))
        if not self.training:
            return self.answer(batch, window)
        return self.classify_jittered(batch, window) if self.pretrain else self.train_on(batch, window)

    def answer(self, batch: PeopleBatch, window: Window) -> PeopleOutputs:
        item, person = batch.mask.nonzero().unbind(1)
        given = batch.classes.new_zeros(batch.classes.shape)
        given[item, person] = self.logits_at(window, item, batch.boxes[item, person]).sigmoid()
        steps = [] if self.pretrain else self.progression.each_step(window)
        return PeopleOutputs(found=[self.detect_all(*step) for step in steps], given=given)

    def logits_at(self, window: Window, keys: Tensor, boxes: Tensor, dropout: float = 0.0) -> Tensor:
        """What the last step says of boxes (R, 4) in [0, 1] that stand still, each in the window of its key: (R, C)."""
        length = self.progression.tube_clips * self.progression.chunks[-1]
        tubes = (boxes * self.progression.side)[:, None].expand(-1, length, -1)
        return self.progression.shown(len(self.progression.steps) - 1, window, keys, tubes, dropout).mean(1)

    def answers(self, outputs: PeopleOutputs) -> Sequence[Sequence[Detections]]:
        """Of each step, a Detections a keyframe."""
        return outputs.found

    def classify_jittered(self, batch: PeopleBatch, window: Window) -> PeopleOutputs:
        """The classification pre-training: true boxes moved a little, and others that show nobody."""
        keys, boxes, wanted = [], [], []
        random = generators(batch.seeds, len(batch.mask))
        for item, mask in enumerate(batch.mask):
            drawn, owner = draw_boxes(batch.boxes[item, mask].cpu(), random[item])
            keys.append(torch.full_like(owner, item))
            boxes.append(drawn)
            wanted.append(classes_of(batch.classes[item, mask], owner.to(mask.device)))
        device = batch.boxes.device
        logits = self.logits_at(window, torch.cat(keys).to(device), torch.cat(boxes).to(device), self.dropout)
        return PeopleOutputs(classified=Classified(logits, torch.cat(wanted)))

    def train_on(self, batch: PeopleBatch, window: Window) -> PeopleOutputs:
        """Every step on samples of the tubes that the steps before it made, without a gradient through those."""
        random = generators(batch.seeds, len(batch.mask))
        truth = [(boxes[mask] * self.progression.side, torch.zeros_like(mask[mask], dtype=torch.long))
                 for boxes, mask in zip(batch.boxes, batch.mask, strict=True)]
        tubes = list(self.progression.first_tubes(len(truth)))
        scores = list(first_scores(torch.stack([central(each, 1)[:, 0] for each in tubes]), truth))
        trained = []
        for number, threshold in enumerate(self.positive_from):
            samples = draw_samples([central(each, 1)[:, 0] for each in tubes], scores, truth, threshold, random)
            chosen = torch.cat([each[samples.candidates[samples.keys == key]] for key, each in enumerate(tubes)])
            outputs = self.progression.see(number, window, samples.keys, chosen, self.dropout)
            around = None if outputs.before is None else self.neighbours(batch, samples, number)
            wanted = torch.cat([classes_of(batch.classes[key], samples.truth[samples.keys == key])
                                for key in range(len(tubes))])
            trained.append((Trained(samples, samples.keys, chosen, outputs, around), wanted))
            if number + 1 < len(self.positive_from):
                tubes, scores = self.candidates_after(number, window, tubes)
        return PeopleOutputs(trained)

    def neighbours(self, batch: PeopleBatch, samples: Samples, number: int) -> tuple[Tensor, Tensor]:
        """Where the person of each sample is before and after: boxes (R, 2, 4) in pixels, known (R, 2) bool."""
        seconds = self.progression.distance(number) * self.seconds
        offset, middle = round(seconds), batch.around.shape[2] // 2
        at, positive = samples.truth.clamp_min(0), samples.positive[:, None]
        if abs(seconds - offset) > self.seconds / 2 or offset > middle:  # no keyframe lies there
            offset, positive = 0, torch.zeros_like(positive)
        sides = [middle - offset, middle + offset]
        boxes = batch.around[samples.keys, at][:, sides] * self.progression.side
        return boxes, batch.around_mask[samples.keys, at][:, sides] & positive

    @torch.no_grad()
    def candidates_after(
        self, number: int, window: Window, tubes: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Tubes (K, F, 4) of every key -> the best (K', F', 4) of the next step's, and their best scores (K',).

        Of each class the best few, all of them together, the best first; a class more than others has no say.
        """
        counts = [len(each) for each in tubes]
        keys = torch.arange(len(tubes)).repeat_interleave(torch.tensor(counts)).to(tubes[0].device)
        every = torch.cat(list(tubes))
        outputs = self.progression.see(number, window, keys, every)
        moved = self.progression.advance(number, outputs, every).split(counts)
        scores = outputs.values.mean(1).sigmoid().split(counts)
        chosen = [best_of_classes(each) for each in scores]
        return ([own[rows] for own, rows in zip(moved, chosen, strict=True)],
                [own[rows].amax(1) for own, rows in zip(scores, chosen, strict=True)])

    def losses(self, outputs: PeopleOutputs, batch: PeopleBatch) -> dict[str, Tensor]:
        """classes: binary entropy of every class; box, neighbour; each the sum over the steps."""
        if outputs.classified is not None:
            logits, wanted = outputs.classified.logits, outputs.classified.wanted
            return {"classes": F.binary_cross_entropy_with_logits(logits, wanted)}
        return summed(
            {"classes": F.binary_cross_entropy_with_logits(step.outputs.values.mean(1), wanted), **box_losses(step)}
            for step, wanted in outputs.trained
        )


def classes_of(classes: Tensor, owner: Tensor) -> Tensor:
    """What samples show, (R, C): the classes (G, C) of the person that each stands for, owner (R,); NOBODY none."""
    return classes[owner.clamp_min(0)] * (owner != NOBODY)[:, None]


def best_of_classes(scores: Tensor) -> Tensor:
    """Of candidates with scores (K, C): the rows (K',) that are among the best of some class, the best first."""
    most = min(len(scores), 2 * max(1, MAX_DETECTIONS // scores.shape[1]))
    among = torch.zeros_like(scores, dtype=torch.bool).scatter_(0, scores.topk(most, 0).indices, True).any(1)
    best = scores.amax(1).masked_fill(~among, -1.0)
    return best.argsort(descending=True, stable=True)[: min(MAX_CANDIDATES, int(among.sum()))]
