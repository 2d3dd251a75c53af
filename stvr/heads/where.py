"""Where in a clip it looks like the query: standardised cells, their cosines, and the boxes that hold most of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.heads.given import padded_boxes
from stvr.heads.proposal_sources import Sources
from stvr.heads.similarity import best_boxes, similarity
from stvr.heads.standardise import Standardise
from stvr.heads.windows import Windows, mean_outside, means_in
from stvr.structures import FeatureSpec

OFFSETS = {"i3d": 7.5}  # pixels: how far right and below of a cell's middle lies what it sees; SAME pads far sides more


class Where(nn.Module):
    """Maps of how much each cell of a clip stands out as the query, and boxes on them. Nothing here is trained.

    endpoints: of `spec`, whose maps say where; all that `spec` has are standardised. proposals: see Sources.
    background: how much of what surrounds the query's box is taken off it. num_proposals: boxes of a clip at most, none
    of which shares more than max_cover of the smaller with another.
    """

    def __init__(
        self, spec: FeatureSpec, endpoints: Sequence[str], *, proposals: str, background: float, num_proposals: int,
        max_cover: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.endpoints, self.background = tuple(endpoints), background
        self.num_proposals, self.max_cover = num_proposals, max_cover
        self.offset = OFFSETS.get(spec.backbone, 0.0) / spec.clip.image_size
        self.standards = nn.ModuleDict({key(each.endpoint): Standardise(each) for each in spec.maps})
        sources = Sources.of(proposals)
        self.windows = Windows(sources.windows) if sources.windows else None

    def standard(self, endpoint: str) -> Standardise:
        standard = self.standards[key(endpoint)]
        assert isinstance(standard, Standardise)
        return standard

    def calibrate(self, maps: Mapping[str, Tensor]) -> None:
        """Sets what is usual from training maps (..., C) by endpoint."""
        for endpoint in self.endpoints:
            self.standard(endpoint).calibrate(maps[endpoint])

    def standardised(self, maps: Mapping[str, Tensor], endpoints: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Maps (..., H, W, C) by endpoint -> (..., H, W, C'); of these endpoints, None for those that say where."""
        return {name: self.standard(name)(maps[name]) for name in endpoints or self.endpoints}

    def wanted(self, standard: Mapping[str, Tensor], boxes: Tensor) -> dict[str, Tensor]:
        """Standardised maps and boxes (Q, 4) of a query -> a vector (Q, C') of each endpoint, less its background."""
        found, seen = {}, self.as_seen(boxes)
        for name in self.endpoints:
            inside = means_in(standard[name], seen[:, None])[:, 0]
            found[name] = inside - self.background * mean_outside(standard[name], seen)
        return found

    def cells(self, standard: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Standardised maps of a reference -> unit vectors (T, H, W, C') float16 of each endpoint."""
        return {name: F.normalize(standard[name], dim=-1).half() for name in self.endpoints}

    def likeness(self, cells: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """How far each cell stands out as a query with the vectors (C',): (T, H, W) on the finest grid."""
        return similarity(cells, wanted)

    def propose(self, likeness: Tensor, given: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """The best boxes (K, 4) of each clip, as shown, and what they are worth on maps (T, H, W), (K,).

        given: boxes (T, G, 4) that come with the clips, padded with zeros, which are candidates too.
        """
        seen = None if given is None else self.as_seen(given) * has_sides(given)
        found = best_boxes(likeness, self.windows, seen, self.num_proposals, self.max_cover)
        return [((boxes + self.offset).clamp(0, 1), worth) for boxes, worth in found]

    @torch.no_grad()
    def propose_each(
        self, cells: Mapping[str, Tensor], wanted: Mapping[str, Tensor] | None, query_mask: Tensor
    ) -> Tensor:
        """Cells (B, T, H, W, C), vectors of queries (B, Q, C) by endpoint -> boxes (B * T, K, 4) padded with zeros."""
        if wanted is None:
            raise ValueError("the query was pooled by a head that does not say where. Pool it with this one.")
        found: list[Tensor] = []
        for item, mask in enumerate(query_mask):
            own = {name: each[item][mask].mean(0) for name, each in wanted.items()}
            likeness = self.likeness({name: each[item] for name, each in cells.items()}, own)
            found += [boxes for boxes, _ in self.propose(likeness)]
        return padded_boxes(found)

    def as_seen(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4) in [0, 1] of the picture, as cells see them."""
        return boxes - self.offset


def has_sides(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) -> (..., 1) bool: no padding, no box without area."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1, keepdim=True)


def key(endpoint: str) -> str:
    """The name of an endpoint as a part of a module can have it."""
    return endpoint.replace(".", "/")
