"""The progressive head put together: its options, its presets, and which part goes where."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from stvr.heads.adapter import Project
from stvr.heads.entry import HeadEntry, HeadOptions, Reads
from stvr.heads.progression import Progression
from stvr.heads.progressive import ProgressiveHead
from stvr.heads.standardise import over_steps
from stvr.heads.tubes import Extension, first_boxes
from stvr.heads.two_branch import ContextBranch, MixedTail, PlainTail, build_step
from stvr.store import FeatureSpec
from stvr.structures import MapSpec

MIXED_4C, MIXED_4F, MIXED_5C = 512, 832, 1024  # channels


class TubeletOptions(HeadOptions):
    """What progressive tubelets are made of; the defaults are those of STEP's released configuration.

    chunks: for each step, how many chunks of tube_clips clips it sees. positive_from: for each step, the IoU from which
    a tube stands for a person. grid: 1 to 4 begin with 34, 59, 84, 109 boxes. extension: how a tube becomes longer.
    tail: "mixed" is I3D's Mixed_5b and 5c, on Mixed_4f, or on Mixed_4c and 4d to 4f of its own; "plain" a few
    bottlenecks, on any map that is brought to `width` channels. localise_on: the endpoint that is read, None for the
    finest.
    """

    localise_on: str | None = None
    chunks: tuple[int, ...] = (1, 1, 3)
    positive_from: tuple[float, ...] = (0.2, 0.35, 0.5)
    tube_clips: int = Field(default=3, ge=3)  # with clips of a third of a second, STEP's second
    grid: Literal[1, 2, 3, 4] = 1
    extension: Extension = "predict"
    context: bool = True
    tail: Literal["mixed", "plain"] = "mixed"
    width: int = Field(default=64, ge=1)  # of the plain tail
    tail_units: int = Field(default=2, ge=1)
    reduced: int = Field(default=256, ge=1)
    hidden: int = Field(default=1024, ge=1)
    bottleneck: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)

    @field_validator("tube_clips")
    @classmethod
    def has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"wanted an odd number of clips, got {value}")
        return value

    @field_validator("chunks")
    @classmethod
    def grows_by_one_on_either_side(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        steps = pairwise(value)
        if not value or value[0] < 1 or value[0] % 2 == 0 or any(two - one not in (0, 2) for one, two in steps):
            raise ValueError("wanted odd numbers, each the one before or two more, as in [1, 1, 3], "
                             f"got {list(value)}")
        return value

    @model_validator(mode="after")
    def one_threshold_a_step(self) -> TubeletOptions:
        if len(self.positive_from) != len(self.chunks):
            raise ValueError(f"wanted a number in positive_from for each of the {len(self.chunks)} steps of chunks, "
                             f"got {len(self.positive_from)}")
        return self


class ProgressiveOptions(TubeletOptions):
    """num_keys: clips of a training reference that train. values: what a tubelet is compared by."""

    name: str = "progressive"
    values: int = Field(default=256, ge=1)
    num_keys: int = Field(default=1, ge=1)


class MeanOverSteps(nn.Module):
    """Maps (..., steps x channels) -> (..., channels)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, maps: Tensor) -> Tensor:
        return over_steps(maps, self.steps)


def build_progressive(options: ProgressiveOptions, spec: FeatureSpec) -> ProgressiveHead:
    adapter, progression = build_progression(options, spec, options.values)
    return ProgressiveHead(adapter, progression, num_keys=options.num_keys, positive_from=options.positive_from,
                           dropout=options.dropout)


def build_progression(options: TubeletOptions, spec: FeatureSpec, num_outputs: int) -> tuple[nn.Module, Progression]:
    """What stored maps go through clip by clip, and the steps; each says `num_outputs` numbers of a tube and clip."""
    adapter, deepen, channels = read_by(options, spec.map)
    tail, tail_width = tails(options, channels)
    grown = [*(after > before for before, after in pairwise(options.chunks)), False]
    return adapter, Progression(
        [build_step(
            tail(), channels, tail_width, context_width=tail_width if options.context else 0,
            num_outputs=num_outputs, reduced=options.reduced, hidden=options.hidden, bottleneck=options.bottleneck,
            anticipates=grows and options.extension == "predict",
        ) for grows in grown],
        chunks=options.chunks, tube_clips=options.tube_clips, first=first_boxes(options.grid),
        side=spec.clip.image_size, extension=options.extension, deepen=deepen,
        context=ContextBranch(tail()) if options.context else None,
    )  # fmt: skip


def read_by(options: TubeletOptions, read: MapSpec) -> tuple[nn.Module, nn.Module, int]:
    """What stored maps go through: clip by clip, then in windows; and how many channels they have then."""
    if options.tail == "plain":
        return Project(read.width, options.width), nn.Identity(), options.width
    if read.channels not in (MIXED_4C, MIXED_4F) or read.endpoint not in ("Mixed_4c", "Mixed_4f"):
        raise ValueError(f"the head {options.name!r} with the tail 'mixed' reads Mixed_4f or Mixed_4c of I3D, but the "
                         f"features are of {read.endpoint} with {read.channels} channels. Extract with --endpoint "
                         "Mixed_4f, or train with --preset small.")
    deepen = nn.Identity() if read.channels == MIXED_4F else MixedTail("Mixed_4d", "Mixed_4f")
    return MeanOverSteps(read.steps), deepen, MIXED_4F


def tails(options: TubeletOptions, channels: int) -> tuple[Callable[[], nn.Module], int]:
    """What makes a tail of its own for each branch, and how wide its maps are."""
    if options.tail == "plain":
        return lambda: PlainTail(channels, max(1, channels // 2), options.tail_units), channels
    return lambda: MixedTail("Mixed_5b", "Mixed_5c"), MIXED_5C


def reads(options: TubeletOptions) -> Reads:
    return Reads((options.localise_on,) if options.localise_on else None)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {  # 14 epochs of 11,465 steps
        "steps": 160_510, "batch_size": 8, "optimizer": "adamw", "lr": 7.5e-4, "weight_decay": 1e-7,
        "schedule": "cosine", "warmup_steps": 1000, "window_seconds": 5.0,
    },
    "small": {
        "steps": 120, "batch_size": 8, "optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 10, "window_seconds": 3.0, "max_query_seconds": 2.0, "save_every": 50,
        "head": {
            "tail": "plain", "width": 64, "tail_units": 1, "reduced": 32, "hidden": 64, "bottleneck": 32, "values": 64,
            "context": False, "dropout": 0.1,
        },
    },
}  # fmt: skip

PROGRESSIVE = HeadEntry(ProgressiveOptions, build_progressive, "pairs", PRESETS, reads)
