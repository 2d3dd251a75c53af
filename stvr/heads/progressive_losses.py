"""What a progressive step is trained on, and its losses: the match, the box, the boxes before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stvr.heads.progression import StepOutputs
from stvr.heads.tube_samples import Samples
from stvr.heads.tubes import central, encode_tubes

BOX_WEIGHT, NEIGHBOUR_WEIGHT = 5.0, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """R samples of one step, whose items (R,) they are, their tubes (R, F, 4), what the step said of them.

    neighbours: see `neighbours_of`; None for a step that does not anticipate.
    """

    samples: Samples
    items: Tensor
    tubes: Tensor
    outputs: StepOutputs
    neighbours: tuple[Tensor, Tensor] | None


def losses_of(step: Trained, logits: Tensor, asked: Tensor) -> dict[str, Tensor]:
    """logits (R, B): how each sample matches each query of the batch; asked (B,): what the queries show."""
    return {"match": match_loss(step, logits, asked), **box_losses(step)}


def box_losses(step: Trained) -> dict[str, Tensor]:
    """box, and neighbour for a step that anticipates."""
    positive = step.samples.positive
    codes = central(step.outputs.codes, 1)[positive, 0]
    wanted = encode_tubes(step.samples.boxes[positive], central(step.tubes, 1)[positive, 0])
    losses = {"box": BOX_WEIGHT * distance(codes, wanted)}
    if step.neighbours is not None:
        losses["neighbour"] = NEIGHBOUR_WEIGHT * neighbour_loss(step, *step.neighbours)
    return losses


def summed(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each loss, the sum over the steps."""
    found: dict[str, Tensor] = {}
    for losses in parts:
        for name, loss in losses.items():
            found[name] = found[name] + loss if name in found else loss
    return found


def match_loss(step: Trained, logits: Tensor, asked: Tensor) -> Tensor:
    """Binary entropy, as STEP's over its classes: here over the queries of the batch of which it is known.

    A tube that shows no one matches no query; one that shows what its own query shows matches all that ask for that,
    and no other; of one that shows another action no more is known than that its own query asks for something else.
    """
    samples, own = step.samples, step.items[:, None] == torch.arange(len(asked), device=asked.device)
    known = own | samples.same[:, None] | ~samples.positive[:, None]
    alike = samples.same[:, None] & (asked[step.items][:, None] == asked)
    return F.binary_cross_entropy_with_logits(logits[known], alike[known].to(logits))


def neighbour_loss(step: Trained, boxes: Tensor, known: Tensor) -> Tensor:
    """Of the middle clips of the tubelets before and after, boxes (R, 2, 4), where they are known, (R, 2)."""
    outputs = step.outputs
    assert outputs.before is not None
    assert outputs.after is not None
    length = outputs.before.shape[1]
    codes = torch.cat([central(each, 1) for each in (outputs.before, outputs.after)], 1)  # (R, 2, 4)
    tubes = torch.cat([central(each, 1) for each in (step.tubes[:, :length], step.tubes[:, -length:])], 1)
    return distance(codes[known], encode_tubes(boxes, tubes)[known])


def distance(codes: Tensor, wanted: Tensor) -> Tensor:
    """The mean smooth L1 of codes (R, 4); zero for none."""
    return F.smooth_l1_loss(codes, wanted) if len(codes) else codes.sum()
