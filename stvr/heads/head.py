"""What a head promises: losses of a batch, and, if it localises, answers about one video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from stvr.config import Options
from stvr.store import FeatureSpec
from stvr.structures import Detections, Features, Query


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


@dataclass(frozen=True, slots=True)
class Reads:
    """What a head reads of a store.

    endpoints: None takes the one that the store keeps, the finest of several. cells: maps with places in them, not
    means over the picture. flow: optical flow, on the grid of the first endpoint. boxes: a detector's, beside the maps.
    """

    endpoints: tuple[str, ...] | None = None
    cells: bool = True
    flow: bool = False
    boxes: bool = False

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


class Head(nn.Module):
    """A batch -> outputs -> losses and answers. Outputs are a small frozen dataclass of tensors, one a head."""

    def forward(self, batch: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")

    def losses(self, outputs: Any, batch: Any) -> dict[str, Tensor]:
        """Named scalars; the loop trains on their sum."""
        raise NotImplementedError(f"{type(self).__name__} must define losses().")

    def answers(self, outputs: Any) -> Any:
        """What the head's task evaluates: detections, or logits."""
        raise NotImplementedError(f"{type(self).__name__} must define answers().")

    def wants_features(self) -> bool:
        """Whether `calibrate` is to be given training features before the first step."""
        return False

    def calibrate(self, features: Features) -> None:
        """Measures once, on training features, what the head wants to know of them."""

    def compile_steps(self, wanted: bool) -> None:
        """Lets parts of the head run through torch.compile, or not."""


class Localizer(Head):
    """A head that says where and when: it looks at a reference once, and is then asked with any number of queries.

    A look is all that does not depend on the query, of as many clips as its `len()` says; looks and the state of a
    stream are values, so several threads may ask one head at once. time_contrast: the `contrast` of its scores in
    `stvr.tubelets.link`.
    """

    time_contrast: float | None = None

    def pool(self, features: Features, boxes: Tensor) -> Any:
        """What is in the boxes (Q, 4), one for each clip, xyxy in [0, 1]: the regions of a query, (Q, ...)."""
        raise NotImplementedError(f"{type(self).__name__} must define pool().")

    def stream(self, state: Any, features: Features) -> tuple[Any, Any]:
        """The next clips of a reference, from the state after the last (None at its start): next state and look.

        A head that must see what follows a clip gives fewer clips than it takes; `finish` gives the last ones.
        """
        raise NotImplementedError(f"{type(self).__name__} must define stream().")

    def finish(self, state: Any) -> Any | None:
        """The look at the clips that the last state held back; None for a head that holds none back."""
        return None

    def look(self, features: Features) -> Any:
        """All clips of a reference at once."""
        return self.stream(None, features)[1]

    def ask(self, look: Any, query: Query) -> list[Detections]:
        """What in the clips of a look does what the query shows, best first, a Detections a clip."""
        raise NotImplementedError(f"{type(self).__name__} must define ask().")

    def proposals_of(self, look: Any, query: Query | None = None) -> list[Tensor] | None:
        """The candidate boxes (N, 4) of each clip, best first; None for a head that has none to show.

        query: for those that depend on what is asked; without it, those that do not.
        """
        return None

    def score_boxes(self, look: Any, query: Query, boxes: Sequence[Tensor]) -> list[Tensor] | None:
        """The score (G,) of given boxes (G, 4) of each clip as the query's action; None for a head that cannot."""
        return None


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
