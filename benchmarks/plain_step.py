"""What bench_step.py measures against: assignment, sampling, suppression and losses clip by clip, as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, clip_boxes_to_image, nms

from stvr.heads import matching, proposals
from stvr.heads.boxes import IGNORED, NEGATIVE, POSITIVE, decode, encode, has_area, in_pixels
from stvr.heads.candidates import MAX_DETECTIONS, MAX_PER_CLASS, MatchingOutputs
from stvr.heads.proposals import ProposalNetwork, ProposalOutputs
from stvr.heads.region_losses import EMBEDDING_WEIGHT, POSITIVE_SHARE, embedding_loss
from stvr.heads.targets import POSITIVE_FROM, Truth, columns
from stvr.structures import Batch, Detections


@contextmanager
def clip_by_clip() -> Iterator[None]:
    """Heads work so inside."""
    with (
        patch.object(ProposalNetwork, "propose", propose),
        patch.object(ProposalNetwork, "losses", proposal_losses),
        patch.object(matching, "sample_regions", sample_regions),
        patch.object(matching, "region_losses", region_losses),
        patch.object(matching.MatchingHead, "answers", answers),
    ):
        yield


def of_each_clip(truth: Truth) -> list[tuple[Tensor, Tensor]]:
    return [(boxes[real], labels[real]) for boxes, labels, real in zip(*truth, truth.real, strict=True)]


def assign(
    candidates: Tensor, truth: Tensor, positive_from: float, negative_below: float, force: bool
) -> tuple[Tensor, Tensor]:
    if len(truth) == 0:
        empty = torch.zeros(len(candidates), dtype=torch.long, device=candidates.device)
        return empty + NEGATIVE, empty
    iou = box_iou(candidates, truth).nan_to_num(0.0)
    best, index = iou.max(1)
    state = torch.full((len(candidates),), IGNORED, device=candidates.device)
    state[best < negative_below] = NEGATIVE
    state[best >= positive_from] = POSITIVE
    if force:
        taken = iou.argmax(0)
        for which in reversed(range(len(truth))):
            state[taken[which]], index[taken[which]] = POSITIVE, which
    return state, index


def sample(state: Tensor, size: int, share: float, method: str, random: torch.Generator | None) -> Tensor:
    positives = keep(state == POSITIVE, int(share * size), method, random)
    return positives | keep(state == NEGATIVE, size - int(positives.sum()), method, random)


def keep(candidates: Tensor, count: int, method: str, random: torch.Generator | None) -> Tensor:
    index = candidates.nonzero()[:, 0]
    if method == "random" and len(index) > count:
        index = index[torch.randperm(len(index), generator=random).to(index.device)]
    kept = torch.zeros_like(candidates)
    kept[index[:count]] = True
    return kept


def generators(seeds: Tensor | None, num_clips: int, purpose: int) -> list[torch.Generator | None]:
    if seeds is None:
        return [None] * num_clips
    clips = range(num_clips // len(seeds))
    mixed = [(seed * 1_000_003 + clip) * 2 + purpose for seed in seeds.tolist() for clip in clips]
    return [torch.Generator().manual_seed(each % 2**63) for each in mixed]


def propose(
    network: ProposalNetwork, codes: Tensor, logits: Tensor, anchors: Tensor, window: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    boxes = codes.new_zeros(len(codes), network.num_proposals, 4)
    scores = codes.new_zeros(len(codes), network.num_proposals)
    decoded, objectness = decode(codes, anchors), logits.softmax(-1)[..., 1]
    for clip in range(len(codes)):
        kept = nms(decoded[clip], objectness[clip], proposals.NMS_IOU)[: network.num_proposals]
        clipped = clip_boxes_to_image(decoded[clip, kept], window)
        real = has_area(clipped) & (objectness[clip, kept] > 0)
        count = int(real.sum())
        boxes[clip, :count], scores[clip, :count] = clipped[real], objectness[clip, kept][real]
    return boxes, scores, has_area(boxes)


def proposal_losses(
    network: ProposalNetwork, outputs: ProposalOutputs, truth: Truth, valid: Tensor, sampler: str = "random",
    seeds: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    box_terms, objectness_terms = [], []
    random, every = generators(seeds, len(valid), purpose=0), of_each_clip(truth)
    for clip in valid.nonzero()[:, 0].tolist():
        boxes, _ = every[clip]
        state, index = assign(outputs.anchors, boxes, network.positive_from, proposals.NEGATIVE_BELOW, force=True)
        chosen = sample(state, proposals.SAMPLE_SIZE, proposals.SAMPLE_POSITIVE_SHARE, sampler, random[clip])
        count, positive = chosen.sum().clamp_min(1), chosen & (state == POSITIVE)
        codes, anchors = outputs.codes[clip, positive], outputs.anchors[positive]
        wanted = encode(boxes[index[positive]], anchors) if len(boxes) else codes.detach()
        box_terms.append(F.huber_loss(codes, wanted, reduction="sum") / count)
        entropy = F.cross_entropy(outputs.logits[clip, chosen], positive[chosen].long(), reduction="sum")
        objectness_terms.append(entropy / count)
    means = [torch.stack(terms).sum() / valid.sum() for terms in (box_terms, objectness_terms)]
    return {"rpn_box": 2.0 * means[0], "rpn_objectness": means[1]}


def sample_regions(
    boxes: Tensor, mask: Tensor, truth: Truth, size: int, sampler: str, seeds: Tensor | None
) -> tuple[Tensor, Tensor]:
    random, sampled = generators(seeds, len(boxes), purpose=1), boxes.new_zeros(len(boxes), size, 4)
    for clip, (true_boxes, _) in enumerate(of_each_clip(truth)):
        candidates = boxes[clip, mask[clip]]
        state, _ = assign(candidates, true_boxes, POSITIVE_FROM, POSITIVE_FROM, force=False)
        chosen = candidates[sample(state, size, POSITIVE_SHARE, sampler, random[clip])]
        sampled[clip, : len(chosen)] = chosen
    return sampled, has_area(sampled)


def region_losses(outputs: MatchingOutputs, batch: Batch, truth: Truth) -> dict[str, Tensor]:
    regions, mask, valid = outputs.candidates.boxes, outputs.candidates.mask, batch.reference_mask.flatten()
    found, wanted = torch.full(mask.shape, -1, device=regions.device), torch.zeros_like(regions)
    for clip, (boxes, labels) in enumerate(of_each_clip(truth)):
        own = regions[clip, mask[clip]]
        state, index = assign(own, boxes, POSITIVE_FROM, POSITIVE_FROM, force=False)
        said, positive = torch.zeros_like(index), state == POSITIVE
        if len(boxes):
            said[positive] = labels[index[positive]]
            wanted[clip, mask[clip]] = torch.where(positive[:, None], encode(boxes[index], own), 0.0)
        found[clip, mask[clip]] = said
    classes, clips = columns(found, outputs.labels), valid.nonzero()[:, 0]
    count = mask.sum(1).clamp_min(1) * len(valid)
    entropy = F.cross_entropy(outputs.logits.flatten(0, 1), classes.flatten(), ignore_index=-1, reduction="none")
    matched = outputs.codes.gather(2, (classes - 1).clamp_min(0)[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    distance = F.huber_loss(matched, wanted, reduction="none").sum(-1) * (classes > 0)
    losses = {"box": 2.0 * (distance.sum(1) / count)[clips].sum(),
              "class": (entropy.view_as(classes).sum(1) / count)[clips].sum()}  # fmt: skip
    if outputs.query_embeddings is not None:
        losses["embedding"] = EMBEDDING_WEIGHT * embedding_loss(outputs, batch, found.where(valid[:, None], -1))
    return losses


def answers(head: matching.MatchingHead, outputs: MatchingOutputs) -> list[Detections]:
    return [detect_clip(outputs, clip, head.nms_iou) for clip in range(len(outputs.logits))]


def detect_clip(outputs: MatchingOutputs, clip: int, nms_iou: float) -> Detections:
    real, size = outputs.candidates.mask[clip], outputs.candidates.image_size
    regions, scores = outputs.candidates.boxes[clip, real], outputs.logits[clip, real].softmax(-1)
    found = []
    for column, label in enumerate(outputs.labels, 1):
        boxes = decode(outputs.codes[clip, real, column - 1], regions)
        kept = nms(boxes, scores[:, column], nms_iou)[:MAX_PER_CLASS]
        kept = kept[scores[kept, column] > 0]
        found.append((boxes[kept], scores[kept, column], torch.full_like(kept, label)))
    boxes, joined, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = joined.argsort(descending=True, stable=True)
    boxes = clip_boxes_to_image(boxes[order], size)
    kept = has_area(boxes).nonzero()[:MAX_DETECTIONS, 0]
    return Detections(boxes[kept] / in_pixels(size, boxes), joined[order][kept], labels[order][kept])
