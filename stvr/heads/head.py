"""What a head promises: losses of a batch, and, if it localises, answers about one video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from stvr.structures import Detections, Features, Query


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

    def start_from(self, other: nn.Module) -> None:
        """Takes over weights of another head or a backbone, before the first step. ValueError where none fit."""
        raise ValueError(f"the head {type(self).__name__} begins from no other one. Leave --start out.")

    def compile_steps(self, wanted: bool) -> None:
        """Lets parts of the head run through torch.compile, or not."""


class Localizer(Head):
    """A head that says where and when: it looks at a reference once, and is then asked with any number of queries.

    A look is all that does not depend on the query, of as many clips as its `len()` says; looks and the state of a
    stream are values, so several threads may ask one head at once. time_contrast: the `contrast` of its scores in
    `stvr.tubelets.link`. reach: how many clips may have to follow a clip until it is in a look of a stream.
    """

    time_contrast: float | None = None
    reach: int = 0

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
