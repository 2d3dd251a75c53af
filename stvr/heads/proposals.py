"""Where something may be: anchors, the proposal network and its losses (Faster R-CNN, as Feng et al. 2019 run it)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image

from stvr import parallel
from stvr.heads.boxes import POSITIVE, assign, at, decode, encode, has_area, in_front
from stvr.heads.sampling import order_of, sample
from stvr.heads.suppression import suppress
from stvr.heads.targets import Truth

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
        height, width = maps.shape[1:3]
        hidden = self.context(F.relu6(self.features(maps.permute(0, 3, 1, 2))))
        codes = self.box(hidden).permute(0, 2, 3, 1).unflatten(3, (-1, 4)).flatten(1, 3)  # (N, A, 4), cells row-major
        logits = self.objectness(hidden).permute(0, 2, 3, 1).unflatten(3, (-1, 2)).flatten(1, 3)
        anchors, inside = anchors_on(height, width, self.stride, maps.device)
        window = (height * self.stride, width * self.stride)
        if self.training:  # anchors that cross the border are removed; touching is allowed
            anchors, codes, logits = anchors[inside], codes.index_select(1, inside), logits.index_select(1, inside)
        else:
            anchors = clip_boxes_to_image(anchors, window)
        boxes, scores, mask = self.propose(codes.detach().float(), logits.detach().float(), anchors, window)
        summary = None if self.summary is None else self.summary(hidden).permute(0, 2, 3, 1)
        return ProposalOutputs(maps, anchors, codes.float(), logits.float(), boxes, scores, mask, summary)

    def propose(
        self, codes: Tensor, logits: Tensor, anchors: Tensor, window: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """NMS on unclipped boxes, then clip, then drop what has no area, then pad with zeros."""
        decoded, objectness = decode(codes, anchors), logits.softmax(-1)[..., 1]
        index, found = suppress(decoded, objectness, NMS_IOU, self.num_proposals)
        clipped, scores = clip_boxes_to_image(at(decoded, index), window), objectness.gather(1, index)
        real = found & has_area(clipped) & (scores > 0)
        order = in_front(real)
        boxes = at(clipped.where(real[..., None], 0), order)
        return boxes, scores.where(real, 0).gather(1, order), has_area(boxes)

    def losses(
        self, outputs: ProposalOutputs, truth: Truth, valid: Tensor, sampler: str = "random",
        seeds: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """truth: true boxes of any class; valid (N,) bool: padded clips are left out.

        seeds (B,): what each item's samples are drawn from.
        """
        anchors = outputs.anchors
        state, index = assign(anchors, truth.boxes, truth.real, self.positive_from, NEGATIVE_BELOW, force=True)
        numbers = torch.arange(len(anchors), device=anchors.device).expand_as(state)
        order = order_of(sampler, numbers, seeds, purpose=0)
        chosen = sample(state, SAMPLE_SIZE, SAMPLE_POSITIVE_SHARE, order)  # (N, A)
        positive = chosen & (state == POSITIVE)
        wanted = encode(at(truth.boxes, index), anchors)
        distance = F.huber_loss(outputs.codes, wanted, reduction="none").sum(-1)
        entropy = F.cross_entropy(outputs.logits.mT, positive.long(), reduction="none")
        count = chosen.sum(1).clamp_min(1)
        terms = {"rpn_box": 2.0 * distance * positive, "rpn_objectness": entropy * chosen}
        return {name: mean_of_valid(each.sum(1) / count, valid) for name, each in terms.items()}


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


@lru_cache(maxsize=64)
def anchors_on(height: int, width: int, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """`build_anchors` on a device, and the numbers of those that do not cross the border: made once and kept."""
    with torch.inference_mode(False), torch.device("cpu"):
        anchors = build_anchors(height, width, stride)
        inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= width * stride) & (anchors[:, 3] <= height * stride)
        return anchors.to(device), inside.nonzero()[:, 0].to(device)


def mean_of_valid(terms: Tensor, valid: Tensor) -> Tensor:
    """A term a clip (N,) -> the mean of the valid ones (N,), over those of all processes; zero without any."""
    return terms.where(valid, 0).sum() / parallel.mean(valid.sum().float()).clamp_min(1e-9)
