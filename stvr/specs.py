"""What features are of: clips, spans of clips, maps; and what made them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from math import floor
from typing import Any

from stvr.former_digests import settled_digest

CONTEXTS, CUTS = ("clip", "video"), ("ignore", "keep")


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """How every video is cut. Seconds and clip indices meet here and nowhere else.

    fps: frames a second after resampling; frames_per_clip: frames of one clip; image_size: side of the square, pixels.
    context: what the features of a clip see, the "clip" alone or all of the "video". cuts: whether a video's context
    goes on over hard cuts ("ignore") or ends there ("keep"); a clip alone has none to keep.
    """

    fps: int = 24
    frames_per_clip: int = 8
    image_size: int = 320
    context: str = "clip"
    cuts: str = "ignore"

    def __post_init__(self) -> None:
        for name in ("fps", "frames_per_clip", "image_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name, menu in (("context", CONTEXTS), ("cuts", CUTS)):
            if getattr(self, name) not in menu:
                raise ValueError(f"{name} must be {' or '.join(menu)}, not {getattr(self, name)!r}.")
        if self.context == "clip" and self.cuts != "ignore":
            raise ValueError(f"cuts can be {self.cuts!r} in the context of a video only. "
                             "Give --context video, or leave --cuts out.")

    @property
    def clips_per_second(self) -> Fraction:
        return Fraction(self.fps, self.frames_per_clip)

    def index_at(self, seconds: float) -> int:
        """The clip that is on screen at `seconds`. A hair is added first: `int()` alone fails 5 % of round trips."""
        return floor(seconds * self.fps / self.frames_per_clip + 1e-6)

    def seconds_at(self, clip: int) -> float:
        """When `clip` begins, in seconds."""
        return clip * self.frames_per_clip / self.fps

    def middle_of(self, clip: int) -> float:
        """The time in the middle of `clip`, in seconds."""
        return (self.seconds_at(clip) + self.seconds_at(clip + 1)) / 2

    def span(self, video: str, start_seconds: float, stop_seconds: float) -> Span:
        """The clips that are on screen between two times; at least one."""
        start = self.index_at(start_seconds)
        stop = -self.index_at(-stop_seconds)  # rounds up, with the same hair
        return Span(video, start, max(stop, start + 1))


@dataclass(frozen=True, slots=True)
class MapSpec:
    """What one endpoint's feature map is; a backbone says it, a store keeps it.

    endpoint: where the backbone is cut. stride: pixels a cell; the whole picture for a map of one cell. steps: time
    steps a clip. channels: of one time step.
    """

    endpoint: str
    stride: int
    steps: int
    channels: int

    @property
    def width(self) -> int:
        """Channels of a clip's map once its time steps lie side by side, as heads read it."""
        return self.steps * self.channels


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What made the features of a store: two stores with one spec are comparable.

    weights: what a person calls them; weights_digest: what they are, up to each endpoint, with commas between. maps:
    one for each endpoint that is kept.
    colour_order, resize: how frames are fed to it. flow: what computed the flow beside the features, and on pictures of
    which size ("ilk at 80 px"), or "none". flipped: whether the features of the mirrored frames are there too.
    compress: how the features are kept, a name on the menu of stvr.store.codes; all but "lossless" have an error.
    decoder: what made pictures of the files. frame_times: which frame stands at each 1/fps second ("nearest").
    Whatever may differ between two videos of one store is noted with each video: its digest, precision, versions.
    """

    backbone: str
    weights: str = field(compare=False)
    weights_digest: str
    maps: tuple[MapSpec, ...]
    clip: ClipSpec
    colour_order: str = "RGB"
    resize: str = "bilinear"
    dtype: str = "float16"
    flow: str = "none"
    flipped: bool = False
    decoder: str = "pyav"
    frame_times: str = "nearest"
    compress: str = "lossless"

    def __post_init__(self) -> None:
        if self.weights_digest.count(",") + 1 != len(self.maps):
            raise ValueError(f"wanted the digest of the weights up to each of {self.endpoint}, "
                             f"got {self.weights_digest!r}.")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(each.endpoint for each in self.maps)

    @property
    def endpoint(self) -> str:
        """Where the backbone was cut, as `stvr extract --endpoint` takes it."""
        return ",".join(self.endpoints)

    @property
    def map(self) -> MapSpec:
        """The one map of a store that keeps one endpoint. ValueError where there are several."""
        if len(self.maps) != 1:
            raise ValueError(f"wanted features of one endpoint, got {self.endpoint}. Choose one of them.")
        return self.maps[0]

    @property
    def finest(self) -> MapSpec:
        """The map with the smallest cells, the first of equals; flow lies on its grid."""
        return min(self.maps, key=lambda each: each.stride)

    def only(self, endpoints: Sequence[str]) -> FeatureSpec:
        """The same, of these maps alone, in this order. LookupError that names what there is."""
        there = self._made()
        if missing := [name for name in endpoints if name not in there]:
            raise LookupError(f"there are no features of {', '.join(missing)}, only of {', '.join(there)}. "
                              f"Choose among these, or extract with --endpoint {','.join(endpoints)}.")
        maps, digests = zip(*(there[name] for name in endpoints), strict=True)
        return replace(self, maps=maps, weights_digest=",".join(digests))

    def _made(self) -> dict[str, tuple[MapSpec, str]]:
        """Endpoint -> its map, and the digest of the weights that made it."""
        digests = self.weights_digest.split(",")
        return {each.endpoint: (each, digest) for each, digest in zip(self.maps, digests, strict=True)}

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return values | {"maps": {each.pop("endpoint"): each for each in values["maps"]}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        maps = tuple(MapSpec(endpoint, **each) for endpoint, each in values["maps"].items())
        digest = ",".join(map(settled_digest, values["weights_digest"].split(",")))
        return cls(**{**values, "maps": maps, "clip": ClipSpec(**values["clip"]), "weights_digest": digest})

    def differences(self, other: FeatureSpec, besides: Collection[str] = ()) -> list[str]:
        """One line for each value that tells the two apart; empty when their features are comparable.

        besides: fields that do not matter here. What the store has beside the features matters to some heads alone.
        """
        apart = {"clip", "maps", "weights_digest", *besides}
        names = [each.name for each in fields(self) if each.compare and each.name not in apart]
        pairs = [(name, getattr(self.clip, name), getattr(other.clip, name)) for name in asdict(self.clip)]
        pairs += [(name, getattr(self, name), getattr(other, name)) for name in names]
        lines = [f"{name} is {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]
        return lines + self._differences_of_maps(other)

    def unmet_by(self, kept: FeatureSpec, besides: Collection[str] = ("flipped", "compress", "flow")) -> list[str]:
        """`differences` from what is kept at the endpoints that this has; empty where it holds all that this wants."""
        same = kept.only(self.endpoints) if {*self.endpoints} <= {*kept.endpoints} else kept
        return self.differences(same, besides)

    def _differences_of_maps(self, other: FeatureSpec) -> list[str]:
        """Map by map, whatever their order."""
        mine, theirs = self._made(), other._made()
        if mine.keys() != theirs.keys():
            lines = [f"endpoint is {self.endpoint!r}, not {other.endpoint!r}"]
            digests = [("weights_digest", self.weights_digest, other.weights_digest)]
        else:
            lines = [f"map of {name} is {mine[name][0]}, not {theirs[name][0]}"
                     for name in mine if mine[name][0] != theirs[name][0]]
            what = {name: "weights_digest" + (f" of {name}" if len(mine) > 1 else "") for name in mine}
            digests = [(what[name], mine[name][1], theirs[name][1]) for name in mine]
        different = [f"{what} is {one!r}, not {another!r}" for what, one, another in digests if one != another]
        if different and self.weights != other.weights:
            different.append(f"weights are {self.weights!r}, not {other.weights!r}")
        return different + lines


@dataclass(frozen=True, slots=True)
class Span:
    """Clips [start, stop) of one video."""

    video: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a span of {self.video!r} needs 0 <= start < stop, not [{self.start}, {self.stop}).")

    def __len__(self) -> int:
        return self.stop - self.start

    def overlap(self, other: Span) -> Span | None:
        """The clips that both hold, or None."""
        start, stop = max(self.start, other.start), min(self.stop, other.stop)
        return Span(self.video, start, stop) if self.video == other.video and start < stop else None
