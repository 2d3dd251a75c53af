"""Where something may be: anchors, the proposal network and its losses (Faster R-CNN, as Feng et al. 2019 run it)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms

from stvr import parallel
from stvr.heads.boxes import IGNORED, POSITIVE, assign, decode, encode, generators, has_area, sample

ANCHOR_BASE = 0.8  # of the image: 256 of 320 pixels
ANCHOR_SCALES = (0.25, 0.5, 1.0, 2.0)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)  # width / height
NMS_IOU = 0.7
NUM_PROPOSALS = 32
POSITIVE_FROM, NEGATIVE_BELOW = 0.7, 0.3
SAMPLE_SIZE, SAMPLE_POSITIVE_SHARE = 256, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ProposalOutputs:
    """N clips, A anchors, K proposals; boxes in pixels.

    features: what was read, (N, H, W, C). anchors (A, 4), codes (N, A, 4), logits (N, A, 2): class 0 is background.
    boxes (N, K, 4) padded with zeros, scores (N, K), mask (N, K) bool: which are real.
    summary (N, H, W, S): what the network saw around each cell, None when nobody asked for it.
    """

    features: Tensor
    anchors: Tensor
    codes: Tensor
    logits: Tensor
    boxes: Tensor
    scores: Tensor
    mask: Tensor
    summary: Tensor | None


class ProposalNetwork(nn.Module):
    """Feature maps (N, H, W, C) -> at most `num_proposals` boxes a clip, best first.

    stride: pixels a cell of these maps.
    context_units: residual 3x3 convolutions after the first one, for features whose cells see little around them.
    summary_width: channels of what is told of each cell to the second stage, 0 for nothing.
    positive_from: IoU with a true box from which an anchor stands for it.
    """

    def __init__(
        self, channels: int, width: int = 512, num_proposals: int = NUM_PROPOSALS, *, stride: int,
        context_units: int = 0, summary_width: int = 0, positive_from: float = POSITIVE_FROM,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_proposals, self.stride, self.positive_from = num_proposals, stride, positive_from
        num_anchors = len(ANCHOR_SCALES) * len(ANCHOR_RATIOS)
        self.features = nn.Conv2d(channels, width, 3, padding=1)
        self.box = nn.Conv2d(width, 4 * num_anchors, 1)
        self.objectness = nn.Conv2d(width, 2 * num_anchors, 1)
        self.context = nn.Sequential(*[ContextUnit(width) for _ in range(context_units)])
        self.summary = nn.Conv2d(width, summary_width, 1) if summary_width else None
        for layer in (self.features, self.box, self.objectness):
            nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> ProposalOutputs:
        num_clips, height, width, _ = maps.shape
        hidden = self.context(F.relu6(self.features(maps.permute(0, 3, 1, 2))))
        codes = self.box(hidden).permute(0, 2, 3, 1).reshape(num_clips, -1, 4)  # (N, A, 4), cells row-major
        logits = self.objectness(hidden).permute(0, 2, 3, 1).reshape(num_clips, -1, 2)
        anchors = build_anchors(height, width, self.stride).to(maps.device)
        window = (height * self.stride, width * self.stride)
        if self.training:  # anchors that cross the border are removed; touching is allowed
            inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= window[1]) & (anchors[:, 3] <= window[0])
            anchors, codes, logits = anchors[inside], codes[:, inside], logits[:, inside]
        else:
            anchors = clip_boxes_to_image(anchors, window)
        boxes, scores, mask = self.propose(codes.detach().float(), logits.detach().float(), anchors, window)
        summary = None if self.summary is None else self.summary(hidden).permute(0, 2, 3, 1)
        return ProposalOutputs(maps, anchors, codes.float(), logits.float(), boxes, scores, mask, summary)

    def propose(
        self, codes: Tensor, logits: Tensor, anchors: Tensor, window: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """NMS on unclipped boxes, then clip, then drop what has no area, then pad with zeros."""
        num_clips = len(codes)
        boxes = codes.new_zeros(num_clips, self.num_proposals, 4)
        scores = codes.new_zeros(num_clips, self.num_proposals)
        decoded, objectness = decode(codes, anchors), logits.softmax(-1)[..., 1]
        for clip in range(num_clips):
            kept = nms(decoded[clip], objectness[clip], NMS_IOU)[: self.num_proposals]
            clipped = clip_boxes_to_image(decoded[clip, kept], window)
            real = has_area(clipped) & (objectness[clip, kept] > 0)
            count = int(real.sum())
            boxes[clip, :count], scores[clip, :count] = clipped[real], objectness[clip, kept][real]
        return boxes, scores, has_area(boxes)

    def losses(
        self, outputs: ProposalOutputs, truth: list[Tensor], valid: Tensor, sampler: str = "random",
        seeds: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """truth: boxes (G, 4) in pixels for each clip, of any class; valid (N,) bool: padded clips are left out.

        seeds (B,): what each item's samples are drawn from.
        """
        box_terms, objectness_terms = [], []
        random = generators(seeds, len(valid), purpose=0)
        for clip in valid.nonzero()[:, 0].tolist():
            state, index = assign(outputs.anchors, truth[clip], self.positive_from, NEGATIVE_BELOW, force=True)
            chosen = sample(state, SAMPLE_SIZE, SAMPLE_POSITIVE_SHARE, sampler, random[clip]) & (state != IGNORED)
            count = chosen.sum().clamp_min(1)
            positive = chosen & (state == POSITIVE)
            codes, anchors = outputs.codes[clip, positive], outputs.anchors[positive]
            wanted = encode(truth[clip][index[positive]], anchors) if len(truth[clip]) else codes.detach()
            box_terms.append(F.huber_loss(codes, wanted, reduction="sum") / count)
            entropy = F.cross_entropy(outputs.logits[clip, chosen], positive[chosen].long(), reduction="sum")
            objectness_terms.append(entropy / count)
        return {
            "rpn_box": 2.0 * mean_of_valid(box_terms, outputs.codes, valid),
            "rpn_objectness": mean_of_valid(objectness_terms, outputs.logits, valid),
        }


class ContextUnit(nn.Module):
    """x + relu(norm(conv 3x3)): each one lets a cell see one cell further."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(min(8, width), width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.conv(x)))


def build_anchors(height: int, width: int, stride: int) -> Tensor:
    """(H * W * 12, 4) xyxy in pixels, centres at multiples of the stride.

    Cells row-major, in each the ratio outside, the scale inside.
    """
    base = ANCHOR_BASE * stride * max(height, width)
    ratios = torch.tensor(ANCHOR_RATIOS).repeat_interleave(len(ANCHOR_SCALES))
    scales = torch.tensor(ANCHOR_SCALES).repeat(len(ANCHOR_RATIOS))
    half = torch.stack([scales * ratios.sqrt(), scales / ratios.sqrt()], -1) * base / 2  # (12, 2) (x, y)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([columns, rows], -1).reshape(-1, 1, 2).float() * stride
    return torch.cat([centres - half, centres + half], -1).reshape(-1, 4)


def mean_of_valid(terms: list[Tensor], like: Tensor, valid: Tensor) -> Tensor:
    """One term a valid clip -> their mean, over the valid clips of all processes; zero without any."""
    count = parallel.mean(valid.sum().float()).clamp_min(1e-9)
    return torch.stack(terms).sum() / count if terms else like.sum() * 0.0
