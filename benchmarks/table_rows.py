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
ONE_BOX, BOTH = {"box_of": "any"}, {"flip": "on", "ema": 0.97}
IDEAS: dict[str, Row] = {
    "votes": idea(vote_iou=0.5),
    "one box": idea(**ONE_BOX),
    "one box and giou": idea(**ONE_BOX, box_loss="giou"),
    "one box and tightness": idea(**ONE_BOX, tightness=True),
    "one box and averaged weights": Row(idea(**ONE_BOX).head, {"ema": 0.97}),
    "one box and mirrored": Row(idea(**ONE_BOX).head, {"flip": "on"}),
    "one box and bidirectional": idea(**ONE_BOX, propagation={"name": "bidirectional"}),
    "one box and transformer": idea(**ONE_BOX, propagation={"name": "transformer"}),
    "one box and 64 proposals": idea(**ONE_BOX, num_proposals=64),
    "one box and query encoder": idea(**ONE_BOX, query_encoder={"name": "gru"}),
    "one box and cross-attention": idea(**ONE_BOX, attention="cells"),
    "one box and map+rpn": idea(**ONE_BOX, proposals="map+rpn"),
    "best": Row(idea(**ONE_BOX, vote_iou=0.5).head, BOTH),
    "best with tightness": Row(idea(**ONE_BOX, vote_iou=0.5, tightness=True).head, BOTH),
}
ROWS: dict[str, Row] = {
    **{name: paper(name) for name in PROPAGATIONS},
    "region_graph": Row({"name": "region_graph"}),
    "progressive": Row({"name": "progressive"}),
    "nearest": Row({"name": "nearest"}, trained=False),
    **IDEAS,
}
