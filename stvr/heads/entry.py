"""A head's place on the menu: its options, what of a store it reads, how it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from stvr.config import Options
from stvr.heads.head import Head
from stvr.structures import FeatureSpec


class HeadOptions(Options):
    """What a head is made of. name: on the menu of heads."""

    name: str


class ClassOptions(HeadOptions):
    """Of a head of the task "labels". classes: their names, in the order of its scores; training fills them in.

    loss: "softmax" over the classes, or "multi_label": each by itself, of stretches that show several, "nod + wave".
    segments: how many time steps of a stretch of video it sees, one from each of so many equal parts.
    """

    classes: tuple[str, ...] = ()
    loss: Literal["softmax", "multi_label"] = "softmax"
    segments: int = Field(default=8, ge=1)


class PeopleOptions(HeadOptions):
    """Of a head of the task "people". classes: "12: stand", in the order of its scores; training fills them in."""

    classes: tuple[str, ...] = ()

    @property
    def reach(self) -> int:
        """Clips to either side of a keyframe that it sees."""
        raise NotImplementedError(f"{type(self).__name__} must define reach.")


@dataclass(frozen=True, slots=True)
class Reads:
    """What a head reads of a store.

    endpoints: None takes the one that the store keeps, the finest of several. cells: maps with places in them, not
    means over the picture. flow: optical flow, on the grid of the first endpoint. boxes: a detector's, beside the maps.
    query_in_box: of a query's maps only the cells that its boxes touch (`regions.cells_around`): what the head does
    with a query begins by pooling its boxes there, or with what treats each cell by itself.
    """

    endpoints: tuple[str, ...] | None = None
    cells: bool = True
    flow: bool = False
    boxes: bool = False
    query_in_box: bool = False

    def chosen(self, spec: FeatureSpec) -> tuple[str, ...]:
        """The endpoints that are read of features of this spec."""
        return self.endpoints or (spec.finest.endpoint,)

    def check(self, spec: FeatureSpec, name: str) -> None:
        """ValueError, in words for the user, where features of this spec do not have it all."""
        chosen = self.chosen(spec)
        missing = [endpoint for endpoint in chosen if endpoint not in spec.endpoints]
        if missing:
            raise ValueError(f"the head {name!r} reads {', '.join(missing)}, but the features are those of "
                             f"{', '.join(spec.endpoints)}. Extract with --endpoint {','.join(chosen)}.")
        maps = spec.only(chosen).maps
        pooled = [each.endpoint for each in maps if each.stride >= spec.clip.image_size]
        if self.cells and pooled:
            raise ValueError(f"the head {name!r} reads maps, but {', '.join(pooled)} is one cell for the whole "
                             "picture. Extract with an --endpoint that is not a mean.")
        if self.flow and spec.flow == "none":
            raise ValueError(f"the head {name!r} reads optical flow with these options, but the features have none. "
                             "Extract the videos with `stvr extract --flow ilk` into another --store.")
        if self.flow and maps[0].stride != spec.finest.stride:
            raise ValueError(f"the head {name!r} reads optical flow on the grid of {maps[0].endpoint}, but it lies on "
                             f"that of the finest map, {spec.finest.endpoint}. Extract without that endpoint.")


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """A head on the menu.

    options: a frozen model whose `name` is the head's. build: (options, spec of the features) -> the head.
    task: what an example is, a name on the menu of tasks. presets: options of a whole training by name, those of the
    head under "head"; the first is the default. reads: what of a store these options read. fit: options that depend on
    the features, named: those that depend on the names of the classes; both decided before training.
    """

    options: type[HeadOptions]
    build: Callable[[Any, FeatureSpec], Head]
    task: str = "pairs"
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    reads: Callable[[Any], Reads] = lambda options: Reads()
    fit: Callable[[Any, FeatureSpec], Any] = lambda options, spec: options
    named: Callable[[Any, Sequence[str]], Any] = lambda options, classes: options
