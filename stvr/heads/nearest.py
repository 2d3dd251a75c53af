"""An answer by one example, with nothing trained: where by a map of similarities, what by a deeper map's cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.heads.head import HeadEntry, HeadOptions, Localizer, Reads
from stvr.heads.similarity import best_windows, running_mean, similarity
from stvr.heads.standardise import Standardise
from stvr.heads.windows import PROPOSALS, mean_outside, means_in
from stvr.store import FeatureSpec
from stvr.structures import LABEL_SAME, Detections, Features, Query

REACH = 3  # clips to either side that tell whether a clip stands still: a cell of Mixed_4c sees 39 frames
LEAST_CHANGE = 0.1  # of a cell from clip to clip, as a share of its size; real clips change by .3 and more somewhere
OFFSETS = {"i3d": 7.5}  # pixels: how far right and below of a cell's middle lies what it sees; SAME pads far sides more
STEEPNESS, MIDDLE = 9.5, 0.3  # of the score over the cosine; chosen on the real clips of docs/numbers.md


class NearestOptions(HeadOptions):
    """What is compared, and where.

    localise_on: the endpoints whose maps say where, None for all there are. match_on: the one that says what, None for
    the coarsest, the last of equals. proposals: a name on the menu of windows. background: how much of what surrounds
    the query's box is taken off it, to say where. smoothing: clips whose maps are averaged, this one and those before
    it. examples: of several, their mean is asked with, or the best counts in each place. num_proposals: boxes of a clip
    at most, none of which shares more than max_cover of the smaller with another.
    """

    name: str = "nearest"
    localise_on: tuple[str, ...] | None = None
    match_on: str | None = None
    proposals: str = "map"
    background: float = Field(default=1.0, ge=0)
    smoothing: int = Field(default=2, ge=1, le=REACH + 1)
    examples: Literal["mean", "best"] = "mean"
    num_proposals: int = Field(default=5, ge=1)
    max_cover: float = Field(default=0.3, ge=0, le=1)

    @field_validator("proposals")
    @classmethod
    def on_the_menu(cls, value: str) -> str:
        if value not in PROPOSALS:
            raise ValueError(f"there are no proposals {value!r}. Choose one of {', '.join(PROPOSALS)}.")
        return value


@dataclass(frozen=True, slots=True, eq=False)
class NearestLook:
    """T clips of a reference.

    cells: unit vectors (lead + T, H, W, C) float16 by endpoint, with the `lead` clips before that are averaged in.
    what: standardised vectors (T, H, W, C) float16 of the map that is matched on. moving (T,) bool.
    """

    cells: Mapping[str, Tensor]
    lead: int
    what: Tensor
    moving: Tensor

    def __len__(self) -> int:
        return len(self.what)


class Held(NamedTuple):
    """The last clips of a stream, as far as the next looks need them; `given` of them are in looks already."""

    maps: Mapping[str, Tensor]
    given: int


class NearestHead(Localizer):
    """Nothing here is trained. The statistics of `standards` are shipped, or measured on a library."""

    def __init__(self, options: NearestOptions, spec: FeatureSpec) -> None:
        super().__init__()
        options = fit_to(options, spec)
        assert options.localise_on is not None
        assert options.match_on is not None
        self.localise_on, self.match_on = options.localise_on, options.match_on
        self.finest = spec.only(self.localise_on).finest.endpoint
        self.background, self.smoothing, self.examples = options.background, options.smoothing, options.examples
        self.num_proposals, self.max_cover = options.num_proposals, options.max_cover
        self.offset = OFFSETS.get(spec.backbone, 0.0) / spec.clip.image_size
        names = dict.fromkeys((*self.localise_on, self.match_on))
        self.standards = nn.ModuleDict({key(each.endpoint): Standardise(each) for each in spec.only([*names]).maps})
        self.register_buffer("windows", PROPOSALS[options.proposals](), persistent=False)

    windows: Tensor

    def forward(self, batch: Any) -> Any:
        raise ValueError("the head 'nearest' has nothing to train. Ask it with `stvr locate`, or train the head "
                         "'matching'.")

    def set_usual(self, usual: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """usual: mean and deviation of every channel (C,), by endpoint."""
        for endpoint, (mean, deviation) in usual.items():
            self.standard(endpoint).set_usual(mean, deviation)

    def standard(self, endpoint: str) -> Standardise:
        standard = self.standards[key(endpoint)]
        assert isinstance(standard, Standardise)
        return standard

    def pool(self, features: Features, boxes: Tensor) -> dict[str, Tensor]:
        """A vector (Q, C) for each map: "where/..." less the background around the box, "what" as it is."""
        regions, seen = {}, boxes - self.offset
        for endpoint in self.localise_on:
            maps = self.standard(endpoint)(features.maps[endpoint])
            inside = means_in(maps, seen[:, None])[:, 0]
            regions[f"where/{endpoint}"] = inside - self.background * mean_outside(maps, seen)
        maps = self.standard(self.match_on)(features.maps[self.match_on])
        return {**regions, "what": means_in(maps, seen[:, None])[:, 0]}

    def stream(self, state: Held | None, features: Features) -> tuple[Held, NearestLook]:
        """Looks come REACH clips late, because only then it is known whether a clip stood still."""
        maps, given = features.maps, 0
        if state is not None:
            maps = {name: torch.cat([state.maps[name], each]) for name, each in features.maps.items()}
            given = state.given
        count = len(next(iter(maps.values())))
        ready = max(given, count - REACH)
        first = max(0, ready - REACH)
        return Held({name: each[first:] for name, each in maps.items()}, ready - first), self.see(maps, given, ready)

    def finish(self, state: Held | None) -> NearestLook | None:
        if state is None:
            return None
        return self.see(state.maps, state.given, len(next(iter(state.maps.values()))))

    def look(self, features: Features) -> NearestLook:
        return self.see(features.maps, 0, len(features))

    def see(self, maps: Mapping[str, Tensor], start: int, stop: int) -> NearestLook:
        """The look at clips [start, stop) of maps (N, H, W, steps x C), of which the others say what goes on around."""
        lead = min(self.smoothing - 1, start)
        standard = {name: self.standard(name)(maps[name]) for name in {*self.localise_on, self.match_on}}
        cells = {name: F.normalize(standard[name][start - lead : stop], dim=-1).half() for name in self.localise_on}
        what = running_mean(standard[self.match_on][start - lead : stop], self.smoothing)[lead:]
        return NearestLook(cells, lead, what.half(), moving(standard[self.finest])[start:stop])

    def ask(self, look: NearestLook, query: Query) -> list[Detections]:
        if not len(look):
            return []
        asked = self.asked_with(query)
        maps = torch.stack([self.map_of(look, example) for example in asked]).amax(0)  # (T, H, W)
        found = []
        for clip, (boxes, worth) in enumerate(best_windows(maps, self.windows, self.num_proposals, self.max_cover)):
            scores = self.score_clip(look, clip, boxes, asked)
            scores = torch.minimum(scores, scores[:1]) * worth / worth[:1]  # the map says which is first
            kept = scores > 0
            shown = (boxes[kept] + self.offset).clamp(0, 1)
            found.append(Detections(shown, scores[kept], torch.full_like(scores[kept], LABEL_SAME, dtype=torch.long)))
        return found

    def score_boxes(self, look: NearestLook, query: Query, boxes: Sequence[Tensor]) -> list[Tensor]:
        asked = self.asked_with(query)
        seen = [each.to(look.what.device) - self.offset for each in boxes]
        return [self.score_clip(look, clip, each, asked) for clip, each in enumerate(seen)]

    def map_of(self, look: NearestLook, example: Mapping[str, Tensor]) -> Tensor:
        """How far each cell of the clips of a look stands out as the example, (T, H, W)."""
        wanted = {endpoint: example[f"where/{endpoint}"] for endpoint in self.localise_on}
        return running_mean(similarity(look.cells, wanted), self.smoothing)[look.lead :]

    def score_clip(self, look: NearestLook, clip: int, boxes: Tensor, asked: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """The scores (K,) of boxes (K, 4), as cells see them, in one clip of a look; 0 where nothing moves."""
        maps = look.what[clip : clip + 1].float()
        regions = means_in(maps, boxes[None].to(maps))[0]  # (K, C)
        wanted = torch.stack([example["what"] for example in asked])
        cosines = F.normalize(regions, dim=-1) @ F.normalize(wanted, dim=-1).T  # (K, examples)
        return as_score(cosines.amax(1)) * look.moving[clip]

    def asked_with(self, query: Query) -> list[dict[str, Tensor]]:
        """The vectors (C,) by name of all examples together, or of each."""
        if self.examples == "mean":
            return [{name: each.mean(0) for name, each in query.regions.items()}]
        counts = [len(tubelet.span) for tubelet in query.tubelets]
        parts = {name: each.split(counts) for name, each in query.regions.items()}
        return [{name: each[example].mean(0) for name, each in parts.items()} for example in range(len(counts))]


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


def key(endpoint: str) -> str:
    """The name of an endpoint as a part of a module can have it."""
    return endpoint.replace(".", "/")


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
    return Reads(tuple(dict.fromkeys(named)) or None)


NEAREST = HeadEntry(NearestOptions, NearestHead, "pairs", reads=reads, fit=fit_to)
