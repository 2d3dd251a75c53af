"""What is found with examples, judged by examples of what is not meant as well."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stvr.heads.head import Localizer
from stvr.heads.promises import checked_answers, faults_of
from stvr.structures import LABEL_SAME, Detections, Query


def ask_with_negatives(head: Localizer, look: Any, query: Query) -> list[Detections]:
    """What `head.ask` finds, and each box of the query's action scored against the negative that it is most like.

    ValueError for a head that cannot score given boxes, PartFault for one whose answers are not as promised.
    """
    with faults_of(head, "ask()"):
        found = list(checked_answers(head, look, head.ask(look, query)))
    if not query.negatives or not found:
        return found
    boxes, against = [clip.boxes for clip in found], []
    for negative in query.negatives:
        scores = head.score_boxes(look, negative, boxes)
        if scores is None:
            raise ValueError(f"the head {type(head).__name__} cannot score a box by itself, so it takes no examples of "
                             "what is not meant. Leave the negatives out, or ask the head 'nearest' or 'matching'.")
        against.append(scores)
    worst = [torch.stack(list(scores)).amax(0) for scores in zip(*against, strict=True)]
    return [best_first(clip, less(clip.scores, scores.to(clip.scores)).where(clip.labels == LABEL_SAME, clip.scores))
            for clip, scores in zip(found, worst, strict=True)]  # fmt: skip


def less(scores: Tensor, against: Tensor) -> Tensor:
    """Scores as the query's action, less where `against`, those as what is not meant, are higher.

    There the log odds fall by as much again as those of `against` are higher. What is more like the query keeps its
    score: examples of both mostly share the scene, and so their likeness says little.
    """
    for_it, other = scores.square() * (1 - against), (1 - scores).square() * against
    return torch.where(against > scores, for_it / (for_it + other).clamp_min(1e-30), scores)


def best_first(clip: Detections, scores: Tensor) -> Detections:
    order = scores.argsort(descending=True, stable=True)
    return Detections(clip.boxes[order], scores[order], clip.labels[order])
