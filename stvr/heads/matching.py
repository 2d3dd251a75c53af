"""The matching head of Feng et al. 2019: proposals of the reference, each held against the query.

Three classes as in their program: background, another action, the query's action. Or two, as in their paper, where
another action is background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from stvr.heads.attention import Attention, fuse
from stvr.heads.boxes import has_area, in_pixels
from stvr.heads.candidates import Candidates, Found, MatchingLook, MatchingOutputs, detect
from stvr.heads.cross_attention import CrossAttention
from stvr.heads.deep_match import Asked, DeepMatch
from stvr.heads.embedding import Embedding
from stvr.heads.given import given_boxes
from stvr.heads.head import Localizer
from stvr.heads.proposal_sources import Sources
from stvr.heads.proposals import ProposalNetwork, ProposalOutputs
from stvr.heads.region_losses import region_losses, sample_regions
from stvr.heads.regions import crop_regions
from stvr.heads.tail import Tail
from stvr.heads.targets import pixel_truth
from stvr.propagation import Propagation
from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Batch, Detections, Features, Query, map_of

if TYPE_CHECKING:  # the menus of both need pydantic, and the head must run without
    from stvr.heads.query_encoder import QueryEncoder
    from stvr.heads.where import Where

CLASSES = {"three": (LABEL_DIFFERENT, LABEL_SAME), "binary": (LABEL_SAME,)}  # beside background, the last one is "same"
SAMPLE_SIZE = 16
LIKENESS_SCALE = 10.0  # of a cosine, before training
OWN_PROPOSALS = Sources((), ("rpn",))
NMS_IOU = 0.6
CLIPS_AT_ONCE = 30  # of a look that go through the second stage together; bounds memory
REGIONS_AT_ONCE = 64  # through the tail on a CPU, so that its layers stay in the cache: two thirds of the time


class MatchingHead(Localizer):
    """Batch -> scored boxes. The parts are handed in finished; `stvr.heads.assembly` makes them.

    adapter: feature maps (..., C_in) -> (..., C). contrast: "none", or "rms": each region divided by its own size, so
    that a bright or fast actor weighs no more than a dim or slow one. fuse: "concat" of proposal and query (eq. 10
    onwards), or "compare": their product and absolute difference. add_truth: true boxes join the training regions.
    embedding: regions (..., 7, 7, C) -> (..., D); their likeness to the query's is added to the logit of "same", and so
    is that of `deep_match`, on another map than the one that says where, `localise_on` (None: the only one).
    query_encoder: what makes one embedding of those of the query's clips; None is their mean.
    sources: where candidates come from, the proposal network ("rpn"), a detector's boxes, or windows that look like the
    query, which `where` finds.
    classes: "three" (the program) or "binary" (the paper).
    """

    def __init__(
        self,
        *,
        adapter: nn.Module,
        propagation: Propagation,
        proposals: ProposalNetwork,
        attention: Attention | CrossAttention,
        tail: Tail,
        tail_channels: int,
        contrast: str = "none",
        fuse: str = "concat",
        add_truth: bool = False,
        sample_size: int = SAMPLE_SIZE,
        embedding: Embedding | None = None,
        query_encoder: QueryEncoder | None = None,
        nms_iou: float = NMS_IOU,
        classes: str = "three",
        localise_on: str | None = None,
        deep_match: DeepMatch | None = None,
        sources: Sources = OWN_PROPOSALS,
        where: Where | None = None,
        vote_iou: float | None = None,
        box_of: str = "class",
        box_loss: str = "huber",
        tightness: bool = False,
    ) -> None:
        super().__init__()
        self.vote_iou, self.box_of, self.box_loss = vote_iou, box_of, box_loss
        self.tightness = nn.Linear(tail_channels, 1) if tightness else None
        self.given, self.where = sources.given, where
        self.nms_iou, self.labels = nms_iou, CLASSES[classes]
        self.embedding, self.localise_on, self.deep_match = embedding, localise_on, deep_match
        self.query_encoder = query_encoder
        self.likeness_scale = nn.Parameter(torch.tensor(LIKENESS_SCALE)) if embedding else None
        self.adapter, self.propagation, self.proposals = adapter, propagation, proposals
        self.attention, self.tail = attention, tail
        self.box = nn.Linear(tail_channels, 4 * (len(self.labels) if box_of == "class" else 1))
        self.classifier = nn.Linear(tail_channels, 1 + len(self.labels))
        self.contrast, self.fuse, self.add_truth, self.sample_size = contrast, fuse, add_truth, sample_size
        for layer in (self.box, self.classifier):  # variance scaling, factor 1, fan average, uniform: the program
            nn.init.xavier_uniform_(layer.weight, gain=0.5**0.5)
            nn.init.zeros_(layer.bias)

    def wants_features(self) -> bool:
        return hasattr(self.adapter, "calibrate") or self.deep_match is not None or self.where is not None

    def calibrate(self, features: Features) -> None:
        if hasattr(self.adapter, "calibrate"):
            self.adapter.calibrate(map_of(features.maps, self.localise_on))  # type: ignore[operator]
        if self.deep_match is not None:
            self.deep_match.calibrate(map_of(features.maps, self.deep_match.endpoint))
        if self.where is not None:
            self.where.calibrate(features.maps)

    def compile_steps(self, wanted: bool) -> None:
        self.propagation.compiled = wanted

    def forward(self, batch: Batch, sampler: str = "random") -> MatchingOutputs:
        query, deep = self.encode_query(batch.queries, batch.query_boxes), self.deep_maps(batch.references)
        reference = map_of(batch.references, self.localise_on)
        maps = self.propagation(self.adapter(reference), batch.flow).flatten(0, 1)  # (N, H, W, C)
        proposals = self.proposals(maps)
        given = None if batch.boxes is None else batch.boxes.flatten(0, 1)
        boxes, mask = self.given_candidates(proposals, given, self.image_size(maps))
        if self.where is not None:
            cells = self.where.cells(self.where.standardised(batch.references))
            windows = self.where.propose_each(cells, query.where, batch.query_mask)
            windows = windows * in_pixels(self.image_size(maps), boxes)
            boxes, mask = torch.cat([boxes, windows], 1), torch.cat([mask, has_area(windows)], 1)
        if self.training:
            truth = pixel_truth(batch, self.image_size(maps))
            if self.add_truth:
                boxes, mask = torch.cat([truth.boxes, boxes], 1), torch.cat([truth.real, mask], 1)
            boxes, mask = sample_regions(boxes, mask, truth, self.sample_size, sampler, batch.seeds)
        candidates = self.candidates(maps, proposals.summary, boxes, mask, None if deep is None else deep.flatten(0, 1))
        return replace(self.match(candidates, query, batch.query_mask), proposals=proposals, sampler=sampler)

    def answers(self, outputs: MatchingOutputs) -> list[Detections]:
        """One Detections a clip, at most 30 boxes: class 1 is another action, class 2 the query's."""
        return detect(outputs, self.nms_iou, self.vote_iou).by_clip()

    def pool(self, features: Features, boxes: Tensor) -> Any:
        maps = {endpoint: each[None] for endpoint, each in features.maps.items()}
        return self.encode_query(maps, boxes[None]).pooled()

    def stream(self, state: Any, features: Features) -> tuple[Any, MatchingLook]:
        """Clips of a window that is not yet whole are held back."""
        if self.propagation.window is None:
            return self.see(state, features)
        held, state = (None, None) if state is None else state
        features = features if held is None else held.followed_by(features)
        whole = len(features) - len(features) % self.propagation.window
        state, look = self.see(state, features.part(slice(0, whole)))
        return (features.part(slice(whole, None)), state), look

    def finish(self, state: Any) -> MatchingLook | None:
        if self.propagation.window is None or state is None:
            return None
        return self.see(state[1], state[0])[1]

    def look(self, features: Features) -> MatchingLook:
        return self.see(None, features)[1]

    def see(self, state: Any, features: Features) -> tuple[Any, MatchingLook]:
        """The look at all of the clips, from the state of the propagation after those before; and its next state."""
        flow = None if features.flow is None else features.flow[None]
        reference, deep = map_of(features.maps, self.localise_on), self.deep_maps(features.maps)
        propagated, state = self.propagation.stream(self.adapter(reference[None]), state, flow)
        maps = propagated[0]  # (T, H, W, C)
        found = self.proposals(maps)
        boxes, mask = self.given_candidates(found, features.boxes, self.image_size(maps))
        candidates = self.candidates(maps, found.summary, boxes, mask, deep)
        cells = None if self.where is None else self.where.cells(self.where.standardised(features.maps))
        return state, MatchingLook(maps, found.summary, candidates, deep, cells)

    def given_candidates(
        self, proposals: ProposalOutputs, boxes: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Boxes (N, K, 4) in pixels that do not depend on the query, and which are real, (N, K)."""
        found = [proposals.boxes if "rpn" in self.given else torch.zeros_like(proposals.boxes[:, :1])]
        if "boxes" in self.given:
            shares = given_boxes(boxes)
            found.append(shares * in_pixels(size, shares))
        every = torch.cat(found, 1)
        return every, has_area(every)

    def ask(self, look: MatchingLook, query: Query) -> list[Detections]:
        return self.find(look, query).by_clip() if len(look) else []

    def find(self, look: MatchingLook, query: Query) -> Found:
        """What `ask` answers, while it is still on the device."""
        stages = self.second_stage(self.candidates_of(look, query), query)
        return Found.joined([detect(outputs, self.nms_iou, self.vote_iou) for outputs in stages])

    def candidates_of(self, look: MatchingLook, query: Query | None) -> Candidates:
        """Those of the look, and, where they depend on it, those that look like the query."""
        if self.where is None or look.cells is None or query is None:
            return look.candidates
        asked, cells = Asked.of(query.regions), {name: each[None] for name, each in look.cells.items()}
        boxes = self.where.propose_each(cells, asked.where, everywhere(asked))
        boxes = boxes * in_pixels(look.candidates.image_size, boxes)
        return look.candidates.joined(self.candidates(look.maps, look.summary, boxes, has_area(boxes), look.deep))

    def proposals_of(self, look: MatchingLook, query: Query | None = None) -> list[Tensor]:
        candidates = self.candidates_of(look, query)
        return [boxes[mask] for boxes, mask in zip(candidates.shares, candidates.mask, strict=True)]

    def score_boxes(self, look: MatchingLook, query: Query, boxes: Sequence[Tensor]) -> list[Tensor]:
        if not len(look):
            return []
        mask = pad_sequence([torch.ones(len(each), dtype=torch.bool) for each in boxes], batch_first=True)
        mask = F.pad(mask, (0, max(0, 1 - mask.shape[1]))).to(look.maps.device)  # one place at least, if an empty one
        padded = look.maps.new_zeros(*mask.shape, 4)
        padded[mask] = torch.cat(list(boxes)).to(padded) * in_pixels(self.image_size(look.maps), padded)
        candidates = self.candidates(look.maps, look.summary, padded, mask, look.deep)
        scores = [outputs.logits.softmax(-1)[..., -1] for outputs in self.second_stage(candidates, query)]
        return [each[real] for each, real in zip(torch.cat(scores), mask, strict=True)]

    def second_stage(self, candidates: Candidates, query: Query) -> list[MatchingOutputs]:
        """Candidates of one reference against one query, a few clips at a time."""
        asked = Asked.of(query.regions)
        return [self.match(part, asked, everywhere(asked)) for part in candidates.split(CLIPS_AT_ONCE)]

    def encode_query(self, queries: Mapping[str, Tensor], boxes: Tensor) -> Asked:
        """Maps of queries (B, Q, H, W, C_in), one box a clip (B, Q, 4) -> their regions. No propagation here."""
        maps, deep, each = self.adapter(map_of(queries, self.localise_on)), None, boxes.flatten(0, 1)[:, None]
        regions = self.normalise(crop_regions(maps.flatten(0, 1), each)[:, 0])
        if self.deep_match is not None:
            found = map_of(queries, self.deep_match.endpoint).flatten(0, 1)
            deep = self.deep_match.pool(found, each)[:, 0].unflatten(0, boxes.shape[:2])
        return Asked(regions.unflatten(0, boxes.shape[:2]), deep, self.where_asked(queries, boxes))

    def where_asked(self, queries: Mapping[str, Tensor], boxes: Tensor) -> dict[str, Tensor] | None:
        """What `where` looks for, (B, Q, C) by endpoint; None for a head without."""
        if self.where is None:
            return None
        maps = {name: each.flatten(0, 1) for name, each in queries.items()}
        found = self.where.wanted(self.where.standardised(maps), boxes.flatten(0, 1))
        return {name: each.unflatten(0, boxes.shape[:2]) for name, each in found.items()}

    def deep_maps(self, maps: Mapping[str, Tensor]) -> Tensor | None:
        """The maps that the head matches on; None where it matches on those that it localises on."""
        return None if self.deep_match is None else map_of(maps, self.deep_match.endpoint)

    def candidates(
        self, maps: Tensor, summary: Tensor | None, boxes: Tensor, mask: Tensor, deep: Tensor | None = None
    ) -> Candidates:
        """What is in boxes (N, K, 4), in pixels, of propagated maps (N, H, W, C) and summary (N, H, W, S).

        deep: the maps (N, H', W', C') of the same clips that the head matches on.
        """
        size = self.image_size(maps)
        shares = boxes / in_pixels(size, boxes)
        regions = self.normalise(crop_regions(maps, shares))  # (N, K, 7, 7, C)
        embeddings = None if self.embedding is None else F.normalize(self.embedding(regions).float(), dim=-1)
        seen = None if summary is None else crop_regions(summary, shares)
        pooled = None if self.deep_match is None or deep is None else self.deep_match.pool(deep, shares)
        return Candidates(boxes, mask, regions, seen, embeddings, size, pooled)

    def match(self, candidates: Candidates, asked_with: Asked, query_mask: Tensor) -> MatchingOutputs:
        """Candidates of B references, each against its query, query_mask (B, Q) bool."""
        query = asked_with.regions
        regions = candidates.regions.reshape(len(query), -1, *candidates.regions.shape[2:])  # (B, P, 7, 7, C), P = T K
        if isinstance(self.attention, CrossAttention):
            attended, weights = self.attention(query, regions, query_mask)
        else:
            weights = self.attention(query.mean((2, 3)), regions.mean((2, 3)), query_mask)  # (B, P, Q)
            attended = (weights @ query.flatten(2)).unflatten(2, query.shape[2:])  # (B, P, 7, 7, C)
        hidden = self.through_tail(regions.flatten(0, 1), attended.flatten(0, 1), candidates.summary)
        shape = candidates.mask.shape  # (N, K)
        codes, logits = self.box(hidden).float(), self.classifier(hidden).float()
        asked, likeness = self.compare(candidates, query, query_mask)
        if self.deep_match is not None and candidates.deep is not None and asked_with.deep is not None:
            found = candidates.deep.reshape(len(query), -1, candidates.deep.shape[-1])
            likeness = likeness.reshape(len(query), -1) + self.deep_match(found, asked_with.deep, weights)
        half = likeness.reshape(-1, 1) / 2
        logits = logits + F.pad(torch.cat([-half, half], 1), (logits.shape[1] - 2, 0))
        codes = codes.reshape(*shape, -1, 4).expand(*shape, len(self.labels), 4)
        fit = None if self.tightness is None else self.tightness(hidden).float().reshape(shape)
        return MatchingOutputs(candidates, self.labels, codes, logits.reshape(*shape, -1), weights.reshape(*shape, -1),
                               asked, tightness=fit)

    def through_tail(self, regions: Tensor, attended: Tensor, summary: Tensor | None) -> Tensor:
        """Regions and what they attend to, both (N, 7, 7, C), and their summary (..., 7, 7, S) -> (N, D)."""
        seen = (regions, attended) if summary is None else (regions, attended, summary.reshape(-1, *summary.shape[-3:]))
        in_parts = not torch.is_grad_enabled() and regions.device.type == "cpu"
        parts = zip(*(each.split(REGIONS_AT_ONCE if in_parts else max(len(each), 1)) for each in seen), strict=True)
        return torch.cat([self.tail(torch.cat([fuse(first, second, self.fuse), *rest], -1) if rest
                                    else fuse(first, second, self.fuse)) for first, second, *rest in parts])

    def compare(self, candidates: Candidates, query: Tensor, query_mask: Tensor) -> tuple[Tensor | None, Tensor]:
        """The unit vectors of queries (B, D), and their scaled cosine with each candidate (B, P); zero without."""
        if candidates.embeddings is None or self.embedding is None or self.likeness_scale is None:
            return None, query.new_zeros(candidates.mask.numel())
        each = self.embedding(query).float() * query_mask[..., None]  # (B, Q, D)
        whole = each.sum(1) / query_mask.sum(1, keepdim=True)
        if self.query_encoder is not None:
            whole = self.query_encoder(each, query_mask).float()
        asked = F.normalize(whole, dim=-1)
        found = candidates.embeddings.reshape(len(query), -1, asked.shape[-1])
        return asked, self.likeness_scale * torch.einsum("bpd,bd->bp", found, asked)

    def normalise(self, regions: Tensor) -> Tensor:
        """(..., 7, 7, C) -> the same."""
        if self.contrast == "none":
            return regions
        return regions * (regions.square().mean((-3, -2, -1), keepdim=True) + 1e-6).rsqrt()

    def image_size(self, maps: Tensor) -> tuple[int, int]:
        """(height, width) in pixels of the image behind maps (..., H, W, C)."""
        return maps.shape[-3] * self.proposals.stride, maps.shape[-2] * self.proposals.stride

    def losses(self, outputs: MatchingOutputs, batch: Batch) -> dict[str, Tensor]:
        """rpn_box, rpn_objectness, box, class: weighted as the program reports them; and embedding."""
        truth, valid = pixel_truth(batch, outputs.candidates.image_size), batch.reference_mask.flatten()
        assert outputs.proposals is not None  # forward() leaves them
        first_stage = self.proposals.losses(outputs.proposals, truth, valid, outputs.sampler, batch.seeds)
        return {**first_stage, **region_losses(outputs, batch, truth, self.box_loss)}


def everywhere(asked: Asked) -> Tensor:
    """The mask (B, Q) of queries without padding."""
    return torch.ones(asked.regions.shape[:2], dtype=torch.bool, device=asked.regions.device)
