"""Features travel from clip to clip: the menu is the left column of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stvr.propagation.flow_lstm import FlowLSTMCell
from stvr.propagation.none import NoPropagation
from stvr.propagation.recurrent import Propagation, Recurrent
from stvr.propagation.traj_lstm import TrajLSTMCell
from stvr.propagation.warp_lstm import WarpLSTMCell

__all__ = ["PROPAGATION", "FlowLSTMCell", "NoPropagation", "Propagation", "Recurrent", "TrajLSTMCell", "WarpLSTMCell",
           "build_propagation"]

PROPAGATION: dict[str, Callable[..., Propagation]] = {
    "none": lambda channels, **options: NoPropagation(),
    "conv_lstm": lambda channels, **options: Recurrent(WarpLSTMCell(channels, warp=False, **options)),
    "flow": lambda channels, **options: Recurrent(FlowLSTMCell(channels, **options)),
    "traj_lstm": lambda channels, **options: Recurrent(TrajLSTMCell(channels, **options)),
    "warp_lstm": lambda channels, **options: Recurrent(WarpLSTMCell(channels, **options)),
}


def build_propagation(name: str, channels: int, **options: Any) -> Propagation:
    """The propagation called `name`; LookupError lists the menu."""
    if name not in PROPAGATION:
        raise LookupError(f"{name!r} is no propagation. The menu is: {', '.join(PROPAGATION)}.")
    return PROPAGATION[name](channels, **options)
