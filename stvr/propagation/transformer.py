"""Attention over the last clips in place of a recurrence: each cell asks what was around it, and when."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.config import Options
from stvr.propagation.propagation import Propagation, PropagationEntry

NORM_GROUPS, BEGIN = 8, 0.02  # BEGIN: deviation of the weights of what is added to a clip


class TransformerOptions(Options):
    """reach: clips before a clip that it attends to, beside itself. heads: of the attention. width: of all its heads
    together; None is the number of channels, 128 at most, or what of it the heads can share."""

    reach: int = Field(default=5, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int | None = Field(default=None, ge=1)


class ClipTransformer(Propagation):
    """A cell's query against the keys of the same place in this clip and the `reach` clips before.

    Keys and values see the 3x3 cells around theirs, so that what moved a little is still found. What comes of it is
    added to the clip, and to begin with it is little. lag (heads, reach + 1): a bias by how long ago.
    """

    def __init__(self, channels: int, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm = nn.GroupNorm(min(NORM_GROUPS, channels), channels)
        self.around = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.query = nn.Linear(channels, width)
        self.key_value = nn.Linear(channels, 2 * width)
        self.out = nn.Linear(width, channels)
        self.lag = nn.Parameter(torch.zeros(heads, reach + 1))
        nn.init.normal_(self.out.weight, std=BEGIN)
        nn.init.zeros_(self.out.bias)

    def stream(
        self, features: Tensor, state: Tensor | None = None, flow: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """state: keys and values (B, at most reach, H, W, 2 width) of the clips before."""
        clips = features.shape[1]
        maps = self.norm(features.flatten(0, 1).permute(0, 3, 1, 2))
        seen = self.key_value(self.around(maps).permute(0, 2, 3, 1)).unflatten(0, features.shape[:2])
        kept = seen if state is None else torch.cat([state, seen], 1)
        asked = self.query(maps.permute(0, 2, 3, 1)).unflatten(0, features.shape[:2])
        key, value = (self.by_place(each) for each in kept.chunk(2, -1))  # (B H W, heads, T', width / heads)
        bias = self.bias(clips, kept.shape[1]).to(asked.dtype)
        answer = F.scaled_dot_product_attention(self.by_place(asked), key, value, bias)
        joined = answer.permute(0, 2, 1, 3).flatten(2)  # (B H W, T, width)
        batch, _, height, width, _ = features.shape
        told = self.out(joined.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2, 4))
        return features + told, kept[:, -self.reach :]

    def by_place(self, clips: Tensor) -> Tensor:
        """(B, T, H, W, D) -> (B H W, heads, T, D / heads)."""
        return clips.permute(0, 2, 3, 1, 4).flatten(0, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def bias(self, clips: int, kept: int) -> Tensor:
        """(1, heads, clips, kept): of the last `clips` of the `kept` ones, minus infinity where one is out of reach."""
        places = torch.arange(kept, device=self.lag.device)
        ago = places[kept - clips :, None] - places
        within = (ago >= 0) & (ago <= self.reach)
        return self.lag[:, ago.clamp(0, self.reach)].masked_fill(~within, -torch.inf)[None]


def transformer(channels: int, options: TransformerOptions) -> ClipTransformer:
    width = options.width or options.heads * max(1, min(128, channels) // options.heads)
    if width % options.heads:
        raise ValueError(f"propagation 'transformer': a width of {width} cannot be shared by {options.heads} heads. "
                         "Give a multiple.")
    return ClipTransformer(channels, width, options.heads, options.reach)


TRANSFORMER = PropagationEntry(TransformerOptions, transformer)
