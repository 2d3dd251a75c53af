"""An answer by one example, with nothing trained: where by a map of similarities, what by a deeper map's cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from stvr.heads.entry import HeadEntry, HeadOptions, Reads
from stvr.heads.given import Proposer, given_boxes
from stvr.heads.head import Localizer
from stvr.heads.late import Held, take
from stvr.heads.proposal_option import Proposals
from stvr.heads.proposal_sources import Sources
from stvr.heads.similarity import running_mean
from stvr.heads.where import Where
from stvr.heads.windows import means_in
from stvr.store import FeatureSpec
from stvr.structures import LABEL_SAME, Detections, Features, Query

REACH = 3  # clips to either side that tell whether a clip stands still: a cell of Mixed_4c sees 39 frames
LEAST_CHANGE = 0.1  # of a cell from clip to clip, as a share of its size; real clips change by .3 and more somewhere
STEEPNESS, MIDDLE = 9.5, 0.3  # of the score over the cosine; chosen on the real clips of docs/numbers.md


class NearestOptions(HeadOptions):
    """What is compared, and where.

    localise_on: the endpoints whose maps say where, None for all there are. match_on: the one that says what, None for
    the coarsest, the last of equals. proposals: where boxes come from, one or several joined by +: "map" (every
    window), "grid" (STEP's and more), "boxes" (a detector's, of the store), "rpn" (a trained head's). background: how
    much of what surrounds the query's box is taken off it, to say where. smoothing: clips whose maps are averaged, this
    one and those before it. examples: of several, all count, or the best in each place. num_proposals: boxes of a clip
    at most, none of which shares more than max_cover of the smaller with another.
    """

    name: str = "nearest"
    localise_on: tuple[str, ...] | None = None
    match_on: str | None = None
    proposals: Proposals = "map"
    background: float = Field(default=1.0, ge=0)
    smoothing: int = Field(default=2, ge=1, le=REACH + 1)
    examples: Literal["mean", "best"] = "mean"
    num_proposals: int = Field(default=5, ge=1)
    max_cover: float = Field(default=0.3, ge=0, le=1)


@dataclass(frozen=True, slots=True, eq=False)
class NearestLook:
    """T clips of a reference.

    cells: unit vectors (lead + T, H, W, C) float16 by endpoint, with the `lead` clips before that are averaged in.
    what: standardised vectors (T, H, W, C) float16 of the map that is matched on. moving (T,) bool. given (T, G, 4):
    boxes that come with the clips, None where the head takes none.
    """

    cells: Mapping[str, Tensor]
    lead: int
    what: Tensor
    moving: Tensor
    given: Tensor | None

    def __len__(self) -> int:
        return len(self.what)


class State(NamedTuple):
    """Of a stream. proposer: the state of the head whose proposals are taken, if there is one."""

    held: Held
    proposer: Any


class NearestHead(Localizer):
    """Nothing here is trained. The statistics of `where.standards` are shipped, or measured on a library.

    proposer: the trained head whose boxes are candidates, for the proposals "rpn".
    """

    time_contrast = 0.4  # chosen on the real clips of docs/numbers.md
    reach = REACH

    def __init__(self, options: NearestOptions, spec: FeatureSpec, proposer: Proposer | None = None) -> None:
        super().__init__()
        options = fit_to(options, spec)
        assert options.localise_on is not None
        assert options.match_on is not None
        self.given = Sources.of(options.proposals).given
        if ("rpn" in self.given) != (proposer is not None):
            raise ValueError("the proposals 'rpn' are those of a trained head: name its checkpoint as the proposer, "
                             "and only then.")
        self.match_on, self.proposer = options.match_on, proposer
        self.smoothing, self.examples = options.smoothing, options.examples
        self.finest = spec.only(options.localise_on).finest.endpoint
        self.endpoints = tuple(dict.fromkeys((*options.localise_on, self.match_on)))
        self.where = Where(
            spec.only(self.endpoints), options.localise_on,
            proposals=options.proposals, background=options.background, num_proposals=options.num_proposals,
            max_cover=options.max_cover,
        )  # fmt: skip

    def forward(self, batch: Any) -> Any:
        raise ValueError("the head 'nearest' has nothing to train. Ask it with `stvr locate`, or train the head "
                         "'matching'.")

    def set_usual(self, usual: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """usual: mean and deviation of every channel (C,), by endpoint."""
        for endpoint, (mean, deviation) in usual.items():
            self.where.standard(endpoint).set_usual(mean, deviation)

    def pool(self, features: Features, boxes: Tensor) -> dict[str, Tensor]:
        """A vector (Q, C) for each map: "where/..." less the background around the box, "what" as it is."""
        standard = self.where.standardised(features.maps, self.endpoints)
        where = {f"where/{name}": each for name, each in self.where.wanted(standard, boxes).items()}
        return {**where, "what": means_in(standard[self.match_on], self.where.as_seen(boxes)[:, None])[:, 0]}

    def stream(self, state: State | None, features: Features) -> tuple[State, NearestLook]:
        """Looks come REACH clips late, because only then it is known whether a clip stood still."""
        held, proposing = (None, None) if state is None else state
        features, proposing = self.with_given(features, proposing)
        ready = take(held, features, REACH)
        return State(ready.held, proposing), self.see(ready.features, ready.start, ready.stop)

    def finish(self, state: State | None) -> NearestLook | None:
        if state is None:
            return None
        features, given = state.held
        return self.see(features, given, len(features))

    def look(self, features: Features) -> NearestLook:
        return self.see(self.with_given(features, None)[0], 0, len(features))

    def with_given(self, features: Features, state: Any) -> tuple[Features, Any]:
        """Clips with the boxes that the head takes from elsewhere, and the proposer's next state."""
        boxes = [given_boxes(features.boxes)] if "boxes" in self.given else []
        if self.proposer is not None:
            state, proposed = self.proposer.stream(state, features)
            boxes.append(proposed)
        return replace(features, boxes=torch.cat(boxes, 1) if boxes else None), state

    def see(self, features: Features, start: int, stop: int) -> NearestLook:
        """The look at clips [start, stop) of features, of which the others say what goes on around."""
        lead = min(self.smoothing - 1, start)
        standard = self.where.standardised(features.maps, self.endpoints)
        lively = moving(standard[self.finest])[start:stop]
        maps = {name: each[start - lead : stop] for name, each in standard.items()}
        what = running_mean(maps[self.match_on], self.smoothing)[lead:]
        given = None if features.boxes is None else features.boxes[start:stop]
        return NearestLook(self.where.cells(maps), lead, what.half(), lively, given)

    def ask(self, look: NearestLook, query: Query) -> list[Detections]:
        if not len(look):
            return []
        asked = self.asked_with(query)
        maps = torch.stack([self.likeness(look, example) for example in asked])  # (examples, T, H, W)
        maps = maps.amax(0) if self.examples == "best" else maps.mean(0)
        found = []
        for clip, (boxes, worth) in enumerate(self.where.propose(maps, look.given)):
            scores = self.score_clip(look, clip, boxes, asked)
            scores = torch.minimum(scores, scores[:1]) * worth / worth[:1]  # the map says which is first
            kept = scores > 0
            label = torch.full_like(scores[kept], LABEL_SAME, dtype=torch.long)
            found.append(Detections(boxes[kept], scores[kept], label))
        return found

    def score_boxes(self, look: NearestLook, query: Query, boxes: Sequence[Tensor]) -> list[Tensor]:
        asked = self.asked_with(query)
        return [self.score_clip(look, clip, each.to(look.what.device), asked) for clip, each in enumerate(boxes)]

    def proposals_of(self, look: NearestLook, query: Query | None = None) -> list[Tensor] | None:
        return None if query is None else [clip.boxes for clip in self.ask(look, query)]

    def likeness(self, look: NearestLook, example: Mapping[str, Tensor]) -> Tensor:
        """How far each cell of the clips of a look stands out as the example, (T, H, W)."""
        wanted = {endpoint: example[f"where/{endpoint}"].mean(0) for endpoint in self.where.endpoints}
        return running_mean(self.where.likeness(look.cells, wanted), self.smoothing)[look.lead :]

    def score_clip(self, look: NearestLook, clip: int, boxes: Tensor, asked: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """The scores (K,) of boxes (K, 4) in one clip of a look; 0 where nothing moves."""
        maps = look.what[clip : clip + 1].float()
        regions = means_in(maps, self.where.as_seen(boxes)[None].to(maps))[0]  # (K, C)
        cosines = torch.stack([nearest_cosines(regions, example["what"]) for example in asked])  # (examples, K)
        return as_score(cosines.amax(0) if self.examples == "best" else cosines.mean(0)) * look.moving[clip]

    def asked_with(self, query: Query) -> list[dict[str, Tensor]]:
        """The vectors (clips, C) by name of each example."""
        counts = [len(tubelet.span) for tubelet in query.tubelets]
        parts = {name: each.split(counts) for name, each in query.regions.items()}
        return [{name: each[example] for name, each in parts.items()} for example in range(len(counts))]


def nearest_cosines(regions: Tensor, example: Tensor) -> Tensor:
    """Regions (K, C) against the clips of an example (Q, C): of each region the cosine with the nearest clip, (K,)."""
    return (F.normalize(regions, dim=-1) @ F.normalize(example, dim=-1).T).amax(1)


def moving(maps: Tensor) -> Tensor:
    """Standardised maps (T, H, W, C) -> (T,) bool: nowhere within REACH clips does the whole picture stand still.

    At either end of a video the network sees the padding come and go, and the features of a still picture change with
    it: so it takes the clips around a clip to know.
    """
    if len(maps) == 1:
        return torch.ones(1, dtype=torch.bool, device=maps.device)
    size = maps.norm(dim=-1)
    change = (maps[1:] - maps[:-1]).norm(dim=-1) / ((size[1:] + size[:-1]) / 2).clamp_min(1e-6)
    most = change.flatten(1).amax(1)  # (T - 1,)
    least = [most[max(0, clip - REACH) : clip + REACH].amin() for clip in range(len(maps))]
    return torch.stack(least) >= LEAST_CHANGE


def as_score(cosines: Tensor) -> Tensor:
    """Cosines -> scores in (0, 1), one half where as much speaks for the same action as for another."""
    return ((cosines - MIDDLE) * STEEPNESS).sigmoid()


def fit_to(options: NearestOptions, spec: FeatureSpec) -> NearestOptions:
    """The endpoints named, where the options leave the choice to the features."""
    maps = [each for each in spec.maps if each.stride < spec.clip.image_size]  # a mean has no places
    if not maps:
        return options
    coarsest = max(enumerate(maps), key=lambda each: (each[1].stride, each[0]))[1]
    return options.model_copy(update={
        "localise_on": options.localise_on or tuple(each.endpoint for each in maps),
        "match_on": options.match_on or coarsest.endpoint,
    })  # fmt: skip


def reads(options: NearestOptions) -> Reads:
    named = (*(options.localise_on or ()), *([options.match_on] if options.match_on else ()))
    return Reads(tuple(dict.fromkeys(named)) or None, boxes="boxes" in Sources.of(options.proposals).given)


NEAREST = HeadEntry(NearestOptions, NearestHead, "pairs", reads=reads, fit=fit_to)
