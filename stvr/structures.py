"""The nouns that rooms hand to one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from math import floor
from typing import Any

import torch
from torch import Tensor

from stvr.former_digests import settled_digest

CONTEXTS, CUTS = ("clip", "video"), ("ignore", "keep")
LABEL_NONE, LABEL_DIFFERENT, LABEL_SAME = 0, 1, 2  # the detector's three classes (Feng et al. 2019, their program)


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

    weights: what a person calls them; weights_digest: what they are. maps: one for each endpoint that is kept.
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

    @property
    def endpoint(self) -> str:
        """Where the backbone was cut, as `stvr extract --endpoint` takes it."""
        return ",".join(each.endpoint for each in self.maps)

    @property
    def map(self) -> MapSpec:
        """The one map of a store that keeps one endpoint. ValueError where there are several."""
        if len(self.maps) != 1:
            raise ValueError(f"wanted features of one endpoint, got {self.endpoint}. Choose one of them.")
        return self.maps[0]

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return values | {"maps": {each.pop("endpoint"): each for each in values["maps"]}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        maps = tuple(MapSpec(endpoint, **each) for endpoint, each in values["maps"].items())
        digest = settled_digest(values["weights_digest"])
        return cls(**{**values, "maps": maps, "clip": ClipSpec(**values["clip"]), "weights_digest": digest})

    def differences(self, other: FeatureSpec, besides: Collection[str] = ()) -> list[str]:
        """One line for each value that tells the two apart; empty when their features are comparable.

        besides: fields that do not matter here. What the store has beside the features matters to some heads alone.
        """
        names = [each.name for each in fields(self) if each.compare and each.name not in {"maps", "clip", *besides}]
        pairs = [(name, getattr(self.clip, name), getattr(other.clip, name)) for name in asdict(self.clip)]
        pairs += [(name, getattr(self, name), getattr(other, name)) for name in names]
        lines = [f"{name} is {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]
        if self.endpoint != other.endpoint:
            lines.append(f"endpoint is {self.endpoint!r}, not {other.endpoint!r}")
        elif self.maps != other.maps:
            lines.append(f"maps are {self.maps}, not {other.maps}")
        if self.weights_digest != other.weights_digest:
            lines.append(f"weights are {self.weights!r}, not {other.weights!r}")
        return lines


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


@dataclass(frozen=True, slots=True, eq=False)
class Tubelet:
    """One box per clip over a span: a query and an answer are both this. boxes (T, 4) float32 xyxy in [0, 1]."""

    span: Span
    boxes: Tensor
    score: float = 1.0

    def __post_init__(self) -> None:
        if tuple(self.boxes.shape) != (len(self.span), 4):
            raise ValueError(f"a tubelet over {len(self.span)} clips needs boxes ({len(self.span)}, 4), "
                             f"not {tuple(self.boxes.shape)}.")

    def within(self, span: Span) -> Tubelet | None:
        """The part of the tubelet that lies in `span`, or None."""
        shared = self.span.overlap(span)
        if shared is None:
            return None
        return Tubelet(shared, self.boxes[shared.start - self.span.start : shared.stop - self.span.start], self.score)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a head reads of clips of one video: feature maps (T, H, W, C) by endpoint, time steps side by side.

    flow (T, H, W, 2): where each cell of a clip comes from in the clip before, (y, x) in cells; None without.
    """

    maps: Mapping[str, Tensor]
    flow: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.maps.values())))

    @property
    def only(self) -> Tensor:
        """The map of the one endpoint there is. ValueError where there are several."""
        if len(self.maps) != 1:
            raise ValueError(f"wanted features of one endpoint, got {', '.join(self.maps)}.")
        return next(iter(self.maps.values()))

    def to(self, device: torch.device | str) -> Features:
        flow = None if self.flow is None else self.flow.to(device)
        return Features({name: maps.to(device) for name, maps in self.maps.items()}, flow)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One or several examples and their regions (Q, ...), as a head pooled them: asked of many references."""

    tubelets: tuple[Tubelet, ...]
    regions: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A query, the span of the reference to search, and what lies in it.

    targets: tubelets of the query's label; others: tubelets of any other label; split: train, val or test.
    other_labels: what each of `others` shows; empty where that is not known.
    """

    query: Tubelet
    reference: Span
    targets: tuple[Tubelet, ...]
    label: str
    others: tuple[Tubelet, ...] = ()
    split: str = "train"
    other_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors only. B pairs, T reference clips, Q query clips, G boxes a clip; short items are padded with zeros.

    reference (B, T, H, W, C), reference_mask (B, T) bool: False on padding.
    query (B, Q, H, W, C), query_boxes (B, Q, 4) xyxy in [0, 1], query_mask (B, Q) bool.
    target_boxes (B, T, G, 4), target_labels (B, T, G) int64: 0 no box here, 1 another action, 2 the query's action.
    asked (B,) int64: what each query shows, as a number; equal numbers are equal labels.
    flow (B, T, H, W, 2): where each cell of a reference clip comes from in the clip before, (y, x) in cells; None
    unless the store has it. seeds (B,) int64: of what is drawn at random for each item; None draws as torch does.
    """

    reference: Tensor
    reference_mask: Tensor
    query: Tensor
    query_boxes: Tensor
    query_mask: Tensor
    target_boxes: Tensor
    target_labels: Tensor
    asked: Tensor
    flow: Tensor | None = None
    seeds: Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """Moves every tensor; `dtype` is for the feature maps alone."""
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: tensor.to(device) for name, tensor in present.items() if tensor is not None}
        for name in ("reference", "query"):
            moved[name] = moved[name].to(dtype or moved[name].dtype)
        return Batch(**moved)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one clip: boxes (N, 4) xyxy in [0, 1], scores (N,), labels (N,), best score first."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
