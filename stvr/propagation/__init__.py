"""Features travel from clip to clip: the menu is the left column of the paper's Table 1, and two of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stvr.menus import Menu
from stvr.propagation.old_keys import renamed
from stvr.propagation.propagation import Propagation, PropagationEntry
from stvr.propagation.recurrent import Recurrent

if TYPE_CHECKING:
    from stvr.config import Options

__all__ = ["PROPAGATION", "Propagation", "PropagationEntry", "Recurrent", "build_propagation", "renamed"]

PROPAGATION: Menu[PropagationEntry] = Menu("propagation", "stvr.propagation", {
    "none": "stvr.propagation.none:NONE",
    "conv_lstm": "stvr.propagation.lstm:CONV_LSTM",
    "flow": "stvr.propagation.lstm:FLOW",
    "traj_lstm": "stvr.propagation.lstm:TRAJ_LSTM",
    "warp_lstm": "stvr.propagation.lstm:WARP_LSTM",
    "bidirectional": "stvr.propagation.bidirectional:BIDIRECTIONAL",
    "transformer": "stvr.propagation.transformer:TRANSFORMER",
}, needs=("options", "build"))  # fmt: skip


def build_propagation(name: str, channels: int, options: Mapping[str, Any] | Options | None = None) -> Propagation:
    """The propagation called `name`, for features of `channels`; options that are not given have their defaults.

    LookupError lists the menu; ValueError names an option that the entry does not have or a value that does not fit.
    """
    from stvr.config import Options, fill  # not at the top: it imports pydantic, and a cell must run without

    entry = PROPAGATION[name]
    given = options.model_dump() if isinstance(options, Options) else options
    try:
        filled = fill(entry.options, given)
    except ValueError as error:
        raise ValueError(f"propagation {name!r}: {error}") from None
    return entry.build(channels, filled)
