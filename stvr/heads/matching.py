"""The matching head of Feng et al. 2019: proposals of the reference, each held against the query.

Three classes as in their program: background, another action, the query's action. Or two, as in their paper, where
another action is background.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms

from stvr import parallel
from stvr.heads.boxes import POSITIVE, assign, decode, encode, generators, has_area, sample
from stvr.heads.embedding import Embedding, contrastive_loss
from stvr.heads.proposals import STRIDE, ProposalNetwork, ProposalOutputs
from stvr.heads.regions import crop_regions
from stvr.heads.tail import Tail
from stvr.propagation import Propagation
from stvr.structures import LABEL_DIFFERENT, LABEL_NONE, LABEL_SAME, Batch, Detections

CLASSES = {"three": (LABEL_DIFFERENT, LABEL_SAME), "binary": (LABEL_SAME,)}  # beside background, the last one is "same"
POSITIVE_FROM = 0.5  # IoU with a true box
SAMPLE_SIZE, SAMPLE_POSITIVE_SHARE = 16, 0.25
LIKENESS_SCALE = 10.0  # of a cosine, before training
EMBEDDING_WEIGHT = 0.5
NMS_IOU, MAX_PER_CLASS, MAX_DETECTIONS = 0.6, 15, 30


@dataclass(frozen=True, slots=True, eq=False)
class MatchingOutputs:
    """N = B * T clips, K regions a clip; boxes in pixels of the network's image.

    boxes (N, K, 4) zero padded, mask (N, K) bool; labels: what a class says of a box, L of them beside background,
    the query's action last. codes (N, K, L, 4): the refinement for each; logits (N, K, 1 + L), background first;
    attention (N, K, Q). image_size: (height, width) in pixels. sampler: how losses may sample.
    embeddings (N, K, D) and query_embeddings (B, D): unit vectors, None for a head without.
    """

    proposals: ProposalOutputs
    boxes: Tensor
    mask: Tensor
    labels: tuple[int, ...]
    codes: Tensor
    logits: Tensor
    attention: Tensor
    image_size: tuple[int, int]
    sampler: str
    embeddings: Tensor | None
    query_embeddings: Tensor | None


class Attention(nn.Module):
    """Which clip of the query a proposal should be held against (eq. 10)."""

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.reference = nn.Linear(channels, width)
        self.score = nn.Linear(width, 1)

    def forward(self, query: Tensor, regions: Tensor, mask: Tensor) -> Tensor:
        """query (B, Q, C), regions (B, P, C), mask (B, Q) bool -> weights (B, P, Q) that sum to 1."""
        energy = (self.query(query)[:, None] + self.reference(regions)[:, :, None]).tanh()  # (B, P, Q, width)
        scores = self.score(energy)[..., 0].masked_fill(~mask[:, None], float("-inf"))
        return scores.softmax(-1)


class MatchingHead(nn.Module):
    """Batch -> scored boxes. The parts are handed in finished; `stvr.heads.build_head` makes them.

    adapter: feature maps (..., C_in) -> (..., C). contrast: "none", or "rms": each region divided by its own size, so
    that a bright or fast actor weighs no more than a dim or slow one. fuse: "concat" of proposal and query (eq. 10
    onwards), or "compare": their product and absolute difference. add_truth: true boxes join the training regions.
    embedding: regions (..., 7, 7, C) -> (..., D); their likeness to the query's is added to the logit of "same".
    classes: "three" (the program) or "binary" (the paper).
    """

    endpoint = "Mixed_4c"
    needs_boxes = False

    def __init__(
        self,
        *,
        adapter: nn.Module,
        propagation: Propagation,
        proposals: ProposalNetwork,
        attention: Attention,
        tail: Tail,
        tail_channels: int,
        contrast: str = "none",
        fuse: str = "concat",
        add_truth: bool = False,
        sample_size: int = SAMPLE_SIZE,
        embedding: Embedding | None = None,
        nms_iou: float = NMS_IOU,
        classes: str = "three",
    ) -> None:
        super().__init__()
        self.nms_iou, self.labels = nms_iou, CLASSES[classes]
        self.embedding = embedding
        self.likeness_scale = nn.Parameter(torch.tensor(LIKENESS_SCALE)) if embedding else None
        self.adapter, self.propagation, self.proposals = adapter, propagation, proposals
        self.attention, self.tail = attention, tail
        self.box = nn.Linear(tail_channels, 4 * len(self.labels))
        self.classifier = nn.Linear(tail_channels, 1 + len(self.labels))
        self.contrast, self.fuse, self.add_truth, self.sample_size = contrast, fuse, add_truth, sample_size
        for layer in (self.box, self.classifier):  # variance scaling, factor 1, fan average, uniform: the program
            nn.init.xavier_uniform_(layer.weight, gain=0.5**0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch, sampler: str = "random") -> MatchingOutputs:
        regions = self.encode_query(batch.query, batch.query_boxes)
        maps = self.propagation(self.adapter(batch.reference), batch.flow)  # (B, T, H, W, C)
        truth = pixel_truth(batch, image_size(maps)) if self.training else None
        return self.match(maps, self.propose(maps), regions, batch.query_mask, truth, sampler, batch.seeds)

    def encode_query(self, query: Tensor, boxes: Tensor) -> Tensor:
        """query maps (B, Q, H, W, C_in), one box a clip (B, Q, 4) -> regions (B, Q, 7, 7, C). No propagation here."""
        maps = self.adapter(query)
        regions = crop_regions(maps.flatten(0, 1), boxes.flatten(0, 1)[:, None])
        return self.normalise(regions[:, 0]).unflatten(0, boxes.shape[:2])

    def propose(self, maps: Tensor) -> ProposalOutputs:
        """Where something may be in propagated maps (B, T, H, W, C); the same whatever is asked for."""
        return self.proposals(maps.flatten(0, 1))

    def match(
        self,
        maps: Tensor,
        proposals: ProposalOutputs,
        query: Tensor,
        query_mask: Tensor,
        truth: list[tuple[Tensor, Tensor]] | None = None,
        sampler: str = "random",
        seeds: Tensor | None = None,
    ) -> MatchingOutputs:
        """Propagated maps (B, T, H, W, C) against query regions (B, Q, 7, 7, C). truth: training samples its boxes."""
        batch, num_clips = maps.shape[:2]
        size = image_size(maps)
        boxes, mask = proposals.boxes, proposals.mask
        if truth is not None:
            boxes, mask = self.sample_regions(boxes, mask, truth, sampler, seeds)
        scale = in_pixels(size, boxes)
        regions = self.normalise(crop_regions(maps.flatten(0, 1), boxes / scale))  # (N, K, 7, 7, C)
        regions = regions.reshape(batch, -1, *regions.shape[2:])  # (B, P, 7, 7, C) with P = T * K
        weights = self.attention(query.mean((2, 3)), regions.mean((2, 3)), query_mask)  # (B, P, Q)
        attended = torch.einsum("bpq,bqhwc->bphwc", weights, query)
        hidden = fuse(regions, attended, self.fuse).flatten(0, 1)  # (B * P, 7, 7, 2C)
        if proposals.summary is not None:
            hidden = torch.cat([hidden, crop_regions(proposals.summary, boxes / scale).flatten(0, 1)], -1)
        hidden = self.tail(hidden)  # (B * P, D)
        shape = (batch * num_clips, boxes.shape[1])
        codes, logits = self.box(hidden).float(), self.classifier(hidden).float()
        embeddings, query_embeddings, likeness = self.compare(regions, query, query_mask)
        logits = logits + likeness.reshape(-1, 1) * logits.new_tensor([0.0, -0.5, 0.5][-logits.shape[1] :])
        return MatchingOutputs(
            proposals, boxes, mask, self.labels, codes.reshape(*shape, -1, 4), logits.reshape(*shape, -1),
            weights.reshape(*shape, -1), size, sampler,
            None if embeddings is None else embeddings.reshape(*shape, -1), query_embeddings,
        )  # fmt: skip

    def compare(
        self, regions: Tensor, query: Tensor, query_mask: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """Unit vectors of regions (B, P, D) and of queries (B, D), and their scaled cosine (B, P); zero without."""
        if self.embedding is None or self.likeness_scale is None:
            return None, None, regions.new_zeros(regions.shape[:2])
        each = self.embedding(query).float() * query_mask[..., None]  # (B, Q, D)
        asked = F.normalize(each.sum(1) / query_mask.sum(1, keepdim=True), dim=-1)
        found = F.normalize(self.embedding(regions).float(), dim=-1)
        return found, asked, self.likeness_scale * torch.einsum("bpd,bd->bp", found, asked)

    def normalise(self, regions: Tensor) -> Tensor:
        """(..., 7, 7, C) -> the same."""
        if self.contrast == "none":
            return regions
        return regions * (regions.square().mean((-3, -2, -1), keepdim=True) + 1e-6).rsqrt()

    def sample_regions(
        self, boxes: Tensor, mask: Tensor, truth: list[tuple[Tensor, Tensor]], sampler: str, seeds: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """At most `sample_size` of the proposals of each clip, a quarter of them on a true box."""
        random = generators(seeds, len(boxes), purpose=1)
        sampled = boxes.new_zeros(len(boxes), self.sample_size, 4)
        for clip, (true_boxes, _) in enumerate(truth):
            candidates = boxes[clip, mask[clip]]
            if self.add_truth:
                candidates = torch.cat([true_boxes, candidates])
            state, _ = assign(candidates, true_boxes, POSITIVE_FROM, POSITIVE_FROM, force=False)
            chosen = candidates[sample(state, self.sample_size, SAMPLE_POSITIVE_SHARE, sampler, random[clip])]
            sampled[clip, : len(chosen)] = chosen
        return sampled, has_area(sampled)

    def losses(self, outputs: MatchingOutputs, batch: Batch) -> dict[str, Tensor]:
        """rpn_box, rpn_objectness, box, class: weighted as the program reports them."""
        truth = pixel_truth(batch, outputs.image_size)
        valid = batch.reference_mask.flatten()
        every = [boxes for boxes, _ in truth]
        losses = self.proposals.losses(outputs.proposals, every, valid, outputs.sampler, batch.seeds)
        found, wanted = assign_regions(outputs, truth)
        classes = columns(found, outputs.labels)
        clips = valid.nonzero()[:, 0]
        count = outputs.mask.sum(1).clamp_min(1) * len(valid)  # padded clips are counted, as in the program
        entropy = F.cross_entropy(outputs.logits.flatten(0, 1), classes.flatten(), ignore_index=-1, reduction="none")
        matched = outputs.codes.gather(2, (classes - 1).clamp_min(0)[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
        distance = F.huber_loss(matched, wanted, reduction="none").sum(-1) * (classes > 0)  # of the matched class alone
        losses["box"] = 2.0 * (distance.sum(1) / count)[clips].sum()
        losses["class"] = (entropy.view_as(classes).sum(1) / count)[clips].sum()
        if outputs.embeddings is not None and outputs.query_embeddings is not None:
            seen = (found > 0) & valid[:, None]
            owner = torch.arange(len(batch.asked), device=seen.device).repeat_interleave(batch.reference.shape[1])
            owner = owner + parallel.rank() * len(batch.asked)
            losses["embedding"] = EMBEDDING_WEIGHT * contrastive_loss(*map(parallel.gather_rows, (
                outputs.query_embeddings, batch.asked, outputs.embeddings[seen],
                owner[:, None].expand_as(seen)[seen], found[seen] == LABEL_SAME,
            )))  # fmt: skip
        return losses

    def detect(self, outputs: MatchingOutputs) -> list[Detections]:
        """One Detections a clip, at most 30 boxes: class 1 is another action, class 2 the query's."""
        return [detect_clip(outputs, clip, self.nms_iou) for clip in range(len(outputs.boxes))]


def fuse(regions: Tensor, attended: Tensor, how: str) -> Tensor:
    """(B, P, 7, 7, C) twice -> (B, P, 7, 7, 2C)."""
    if how == "concat":
        return torch.cat([regions, attended], -1)
    return torch.cat([regions * attended, (regions - attended).abs()], -1)


def image_size(maps: Tensor) -> tuple[int, int]:
    """(height, width) in pixels of the image behind maps (..., H, W, C)."""
    return maps.shape[-3] * STRIDE, maps.shape[-2] * STRIDE


def in_pixels(size: tuple[int, int], like: Tensor) -> Tensor:
    """What turns boxes in [0, 1] into pixels of an image (height, width): (4,), of the kind of `like`."""
    height, width = size
    return like.new_tensor([width, height, width, height])


def pixel_truth(batch: Batch, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """The true boxes (G, 4) in pixels and labels (G,) of every clip of the batch, padding left out."""
    scale = in_pixels(size, batch.target_boxes)
    boxes, labels = (batch.target_boxes * scale).flatten(0, 1), batch.target_labels.flatten(0, 1)
    return [(box[label != LABEL_NONE], label[label != LABEL_NONE]) for box, label in zip(boxes, labels, strict=True)]


def assign_regions(outputs: MatchingOutputs, truth: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """What every region is: labels (N, K), -1 for padding, and the box codes it should have, (N, K, 4)."""
    classes = torch.full(outputs.mask.shape, -1, device=outputs.boxes.device)
    wanted = torch.zeros_like(outputs.boxes)
    for clip, (boxes, labels) in enumerate(truth):
        real = outputs.mask[clip]
        regions = outputs.boxes[clip, real]
        state, index = assign(regions, boxes, POSITIVE_FROM, POSITIVE_FROM, force=False)
        found = torch.zeros_like(index)
        if len(boxes):
            positive = state == POSITIVE
            found[positive] = labels[index[positive]]
            wanted[clip, real] = torch.where(positive[:, None], encode(boxes[index], regions), 0.0)
        classes[clip, real] = found
    return classes, wanted


def columns(found: Tensor, labels: tuple[int, ...]) -> Tensor:
    """Labels (N, K) as columns of the logits: 0 for those that are no class of their own; -1 stays."""
    column = found.clamp_max(0)
    for number, label in enumerate(labels, 1):
        column = torch.where(found == label, number, column)
    return column


def detect_clip(outputs: MatchingOutputs, clip: int, nms_iou: float) -> Detections:
    """NMS a class on unclipped boxes, the classes joined, sorted, clipped, boxes without area dropped."""
    real = outputs.mask[clip]
    regions, height_width = outputs.boxes[clip, real], outputs.image_size
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
