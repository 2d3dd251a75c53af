"""What the second stage learns from: regions sampled of each clip's candidates, and the losses over them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss

from stvr import parallel
from stvr.heads.boxes import IGNORED, assign, at, decode, has_area, in_front
from stvr.heads.candidates import MatchingOutputs
from stvr.heads.embedding import contrastive_loss
from stvr.heads.sampling import order_of, sample
from stvr.heads.targets import POSITIVE_FROM, UNKNOWN, Truth, assign_regions, columns
from stvr.structures import Batch

POSITIVE_SHARE = 0.25
EMBEDDING_WEIGHT = 0.5
GIOU_WEIGHT = 2.0  # beside a Huber loss of codes, which are larger numbers
LARGEST_CODE = 20.0  # of what a loss decodes: far beyond any box, and still a finite one


def sample_regions(
    boxes: Tensor, mask: Tensor, truth: Truth, size: int, sampler: str, seeds: Tensor | None
) -> tuple[Tensor, Tensor]:
    """At most `size` of the candidates (N, K, 4) of each clip, a quarter of them on a true box; padded with zeros.

    mask (N, K): which candidates are real. Returns boxes (N, size, 4) and which of them are real.
    """
    state, _ = assign(boxes, truth.boxes, truth.real, POSITIVE_FROM, POSITIVE_FROM, force=False)
    numbers = mask.cumsum(1)  # real ones count, not how far the longest of the batch is padded
    order = order_of(sampler, numbers, seeds, purpose=1)
    chosen = sample(state.masked_fill(~mask, IGNORED), size, POSITIVE_SHARE, order)
    index = in_front(chosen)[:, :size]
    sampled = at(boxes.where(chosen[..., None], 0), index)
    sampled = F.pad(sampled, (0, 0, 0, size - sampled.shape[1]))
    return sampled, has_area(sampled)


def region_losses(
    outputs: MatchingOutputs, batch: Batch, truth: Truth, box_loss: str = "huber"
) -> dict[str, Tensor]:
    """box, class, and embedding and tightness for a head that has them: weighted as the program reports them.

    box_loss: "huber", of codes, as in the program, or "giou": of the boxes themselves.
    """
    valid = batch.reference_mask.flatten()
    found, wanted = assign_regions(outputs.candidates.boxes, outputs.candidates.mask, truth)
    classes = columns(found, outputs.labels)
    count = outputs.candidates.mask.sum(1).clamp_min(1) * len(valid)  # padded clips are counted, as in the program
    entropy = F.cross_entropy(outputs.logits.mT, classes, ignore_index=UNKNOWN, reduction="none")  # (N, K)
    matched = outputs.codes.gather(2, (classes - 1).clamp_min(0)[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    distance = BOX_LOSSES[box_loss](matched, wanted, outputs.candidates.boxes) * (classes > 0)  # of the matched class
    terms = {"box": 2.0 * distance, "class": entropy}
    if outputs.tightness is not None:
        terms["tightness"] = tightness_loss(outputs, truth) * (classes > 0)
    losses = {name: (each.sum(1) / count).where(valid, 0).sum() for name, each in terms.items()}
    if outputs.candidates.embeddings is not None and outputs.query_embeddings is not None:
        losses["embedding"] = EMBEDDING_WEIGHT * embedding_loss(outputs, batch, found.where(valid[:, None], UNKNOWN))
    return losses


def huber(found: Tensor, wanted: Tensor, boxes: Tensor) -> Tensor:
    """Of codes (N, K, 4) for boxes (N, K, 4): (N, K)."""
    return F.huber_loss(found, wanted, reduction="none").sum(-1)


def giou(found: Tensor, wanted: Tensor, boxes: Tensor) -> Tensor:
    """1 - the generalised IoU (Rezatofighi et al., CVPR 2019) of the boxes that codes (N, K, 4) make: (N, K)."""
    decoded = [decode(each.clamp(-LARGEST_CODE, LARGEST_CODE), boxes) for each in (found, wanted)]
    return GIOU_WEIGHT * generalized_box_iou_loss(*decoded)


BOX_LOSSES = {"huber": huber, "giou": giou}


def tightness_loss(outputs: MatchingOutputs, truth: Truth) -> Tensor:
    """How far from told is the IoU of each refined box with the best true one, (N, K)."""
    assert outputs.tightness is not None
    with torch.no_grad():
        refined = decode(outputs.codes[:, :, -1].clamp(-LARGEST_CODE, LARGEST_CODE), outputs.candidates.boxes)
        iou = box_iou(refined, truth.boxes).nan_to_num(0.0).masked_fill(~truth.real[:, None], 0.0).amax(-1)
    return F.binary_cross_entropy_with_logits(outputs.tightness, iou, reduction="none")


def embedding_loss(outputs: MatchingOutputs, batch: Batch, found: Tensor) -> Tensor:
    """Of the regions of all processes; found (N, K): their labels."""
    assert outputs.candidates.embeddings is not None  # a head without has no such loss
    assert outputs.query_embeddings is not None
    own = torch.arange(len(batch.asked), device=found.device) + parallel.rank() * len(batch.asked)
    owner = own[:, None].expand(-1, found.numel() // len(own))
    return contrastive_loss(*map(parallel.gather_rows, (
        outputs.query_embeddings, batch.asked, outputs.candidates.embeddings.flatten(0, 1), owner.flatten(),
        found.flatten(),
    )))  # fmt: skip
