"""What a head answered on one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from stvr.metrics import PairRecord
from stvr.structures import Detections, Pair


@dataclass(frozen=True, slots=True, eq=False)
class PairAnswers:
    """The answers on one pair: with its own query, with another pair's, and the proposals (N, 4) of each clip.

    truth: all annotated boxes of each clip (G, 4). probes: the rankings of an audit, by name. pair, and detections with
    its own query, one a clip: needed for figures over tubelets, actors and lengths. Boxes are xyxy in [0, 1].
    """

    own: PairRecord
    shuffled: PairRecord | None
    proposals: Sequence[Tensor]
    truth: Sequence[Tensor]
    probes: Mapping[str, PairRecord] = field(default_factory=dict)
    pair: Pair | None = None
    detections: Sequence[Detections] = ()


Known = Sequence[tuple[PairAnswers, Pair]]  # answers whose pair is at hand
