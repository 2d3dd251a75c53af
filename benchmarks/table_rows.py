"""The rows of both tables: the paper's five propagations, two sister systems, what is not trained, ideas of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROPAGATIONS = ("none", "conv_lstm", "flow", "traj_lstm", "warp_lstm")
BASELINE = "warp_lstm"


@dataclass(frozen=True, slots=True)
class Row:
    """head: options of the head. training: over those of the table, which are the matching head's.

    deep: whether it reads features of several depths; video: of the whole video as context; where a store has them.
    """

    head: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = True
    deep: bool = False
    video: bool = False


def paper(propagation: str) -> Row:
    """The small preset as it was before any idea, with one of the paper's propagations."""
    return Row({**AS_THE_PAPER, "propagation": {"name": propagation}})


def idea(**options: Any) -> Row:
    """One idea over the Warp LSTM's row."""
    return Row({**AS_THE_PAPER, "propagation": {"name": BASELINE}, **options})


AS_THE_PAPER = {"vote_iou": None, "box_of": "class", "box_loss": "huber", "tightness": False}
IDEAS: dict[str, Row] = {
    "votes": idea(vote_iou=0.5),
    "one box for all": idea(box_of="any"),
    "giou": idea(box_of="any", box_loss="giou"),
    "tightness": idea(box_of="any", tightness=True),
    "average": Row(idea().head, {"ema": 0.97}),
    "bidirectional": idea(propagation={"name": "bidirectional"}),
    "transformer": idea(propagation={"name": "transformer"}),
    "map + rpn": idea(proposals="map+rpn"),
    "64 proposals": idea(num_proposals=64),
    "query encoder": idea(query_encoder={"name": "gru"}),
    "best": Row(idea(vote_iou=0.5, box_of="any", tightness=True).head, {"ema": 0.97}),
}
ROWS: dict[str, Row] = {
    **{name: paper(name) for name in PROPAGATIONS},
    "region_graph": Row({"name": "region_graph"}),
    "progressive": Row({"name": "progressive"}),
    "nearest": Row({"name": "nearest"}, trained=False),
    **IDEAS,
}
