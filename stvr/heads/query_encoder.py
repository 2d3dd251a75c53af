"""A query's clips in order as one vector: a temporal block over what is in its box, instead of the mean over clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stvr.temporal import TEMPORAL, TemporalBlock, build_temporal


class QueryEncoder(nn.Module):
    """Vectors of clips (B, Q, D) and their mask (B, Q), padding last -> (B, D).

    block: reads `steps` of them, each from the middle of so many equal parts, repeated where there are fewer.
    """

    def __init__(self, block: TemporalBlock, steps: int, width: int) -> None:
        super().__init__()
        self.block, self.steps, self.project = block, steps, nn.Linear(block.width, width)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        middles = 2 * torch.arange(self.steps, device=mask.device) + 1
        chosen = middles * mask.sum(1, keepdim=True) // (2 * self.steps)  # (B, steps)
        sequence = clips.gather(1, chosen[..., None].expand(-1, -1, clips.shape[-1]))
        encoded: Tensor = self.project(self.block(sequence))
        return encoded


def build_query_encoder(options: Mapping[str, Any], steps: int, width: int) -> QueryEncoder:
    """options: a table of a temporal block's name and its own options. ValueError for a block that reads maps."""
    own = {name: option for name, option in options.items() if name != "name"}
    if TEMPORAL[options["name"]].on_maps:
        raise ValueError(f"the temporal block {options['name']!r} reads maps, but a query's clips are vectors. Choose "
                         "another query_encoder.")
    return QueryEncoder(build_temporal(options["name"], width, steps, own), steps, width)
