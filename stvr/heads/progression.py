"""From a fixed grid to tubelets, step by step: every step refines its tubes in space, some make them longer in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from stvr.heads.tubes import Extension, central, decode_tubes, extrapolated, in_picture, repeated_mean
from stvr.heads.two_branch import REGION_SIZE, ContextBranch, TwoBranch

KEYS_AT_ONCE = 4  # of a look; bounds memory


class Window(NamedTuple):
    """The F clips around each of N keys: maps (N, F, C, H, W), context (N, F, D) or None."""

    maps: Tensor
    context: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class StepOutputs:
    """Of R tubes over F clips: values (R, F, D), codes (R, F, 4) relative to each clip's own box.

    before, after (R, tube_clips, 4): codes of the tubelet one chunk before and after, relative to the first and the
    last chunk of the tube; None for a step that does not anticipate.
    """

    values: Tensor
    codes: Tensor
    before: Tensor | None
    after: Tensor | None


class Progression(nn.Module):
    """The steps' networks and the tubes between them.

    chunks: how many chunks of `tube_clips` clips each step sees, odd numbers, never two more at once. first (K, 4): the
    boxes in [0, 1] that it begins with. side: of the square picture in pixels. deepen: window maps (N, C, F, H, W) ->
    (N, C', F, H, W). Every anticipating step of `steps` is one after which tubes are extended by "predict".
    """

    first: Tensor

    def __init__(
        self, steps: Sequence[TwoBranch], *, chunks: Sequence[int], tube_clips: int, first: Tensor, side: int,
        extension: Extension, deepen: nn.Module, context: ContextBranch | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.chunks, self.tube_clips, self.side, self.extension = tuple(chunks), tube_clips, side, extension
        self.deepen, self.context = deepen, context
        self.register_buffer("first", first * side, persistent=False)

    @property
    def reach(self) -> int:
        """Clips to either side of a key that its window holds."""
        return self.tube_clips * max(self.chunks) // 2

    def distance(self, number: int) -> int:
        """Clips from a key to the middle of the tubelet that step `number` anticipates."""
        return self.tube_clips * (self.chunks[number] + 1) // 2

    def frames(self, keys: Tensor, count: Tensor | int) -> Tensor:
        """Which clips of a video of `count` are in the windows of keys (N,): (N, F); at an end the last one repeats."""
        offsets = torch.arange(-self.reach, self.reach + 1, device=keys.device)
        last = torch.as_tensor(count, device=keys.device).expand(len(keys))[:, None] - 1
        return (keys[:, None] + offsets).clamp_min(0).minimum(last)

    def window(self, maps: Tensor) -> Window:
        """maps (N, F, H, W, C) of the clips around N keys."""
        deep = self.deepen(maps.permute(0, 4, 1, 2, 3).float())
        return Window(deep.transpose(1, 2), None if self.context is None else self.context(deep))

    def first_tubes(self, num_keys: int) -> Tensor:
        """(N, K, F, 4)"""
        clips = self.tube_clips * self.chunks[0]
        return self.first[None, :, None].expand(num_keys, -1, clips, -1)

    def see(self, number: int, window: Window, keys: Tensor, tubes: Tensor, dropout: float = 0.0) -> StepOutputs:
        """What step `number` says of tubes (R, F, 4) in pixels, each in the window of its key (R,)."""
        step = self.step(number)
        regions = self.regions(window, keys, tubes)
        reduced, values = step.what(regions, self.context_of(window, keys, tubes), dropout)
        codes, before, after = step.where(torch.cat([regions, reduced], 1), dropout)
        codes = codes.float()
        if before is not None and after is not None:
            before = codes[:, : self.tube_clips] + before[:, : self.tube_clips]
            after = codes[:, -self.tube_clips :] + after[:, -self.tube_clips :]
        return StepOutputs(values.float(), codes, before, after)

    def shown(self, number: int, window: Window, keys: Tensor, tubes: Tensor, dropout: float = 0.0) -> Tensor:
        """The values (R, F, D) of `see` alone."""
        regions = self.regions(window, keys, tubes)
        return self.step(number).what(regions, self.context_of(window, keys, tubes), dropout)[1].float()

    def step(self, number: int) -> TwoBranch:
        step = self.steps[number]
        assert isinstance(step, TwoBranch)
        return step

    def regions(self, window: Window, keys: Tensor, tubes: Tensor) -> Tensor:
        """(R, C, F, 7, 7)"""
        (_, seen, _, _, width), clips = window.maps.shape, tubes.shape[1]
        index = keys[:, None] * seen + (seen - clips) // 2 + torch.arange(clips, device=keys.device)
        rois = torch.cat([index.flatten()[:, None].to(tubes), tubes.flatten(0, 1)], 1)
        pooled = roi_align(window.maps.flatten(0, 1), rois, REGION_SIZE, width / self.side, aligned=False)
        return pooled.unflatten(0, (len(tubes), clips)).transpose(1, 2)

    def context_of(self, window: Window, keys: Tensor, tubes: Tensor) -> Tensor | None:
        return None if window.context is None else central(window.context, tubes.shape[1])[keys]

    def advance(self, number: int, outputs: StepOutputs, tubes: Tensor) -> Tensor:
        """The tubes (R, F', 4) that the next step begins with, or that the last one ends with."""
        moved = in_picture(decode_tubes(outputs.codes, tubes), self.side)
        if number + 1 == len(self.chunks) or self.chunks[number + 1] == self.chunks[number]:
            return moved
        length = self.tube_clips
        if outputs.before is not None and outputs.after is not None:
            before = decode_tubes(outputs.before, tubes[:, :length])
            after = decode_tubes(outputs.after, tubes[:, -length:])
        else:
            before, after = (extrapolated if self.extension == "extrapolate" else repeated_mean)(moved, length)
        return in_picture(torch.cat([before, moved, after], 1), self.side)

    def forward(self, window: Window) -> tuple[Tensor, Tensor]:
        """What the last step ends with: boxes (N, K, 4) of the keys' own clips, in pixels, and values (N, K, D)."""
        *_, last = self.each_step(window)
        return last

    def each_step(self, window: Window) -> Iterator[tuple[Tensor, Tensor]]:
        """All steps, all tubes: after each one the boxes (N, K, 4) of the keys' own clips, and its values (N, K, D)."""
        num_keys = len(window.maps)
        tubes = self.first_tubes(num_keys).flatten(0, 1)
        keys = torch.arange(num_keys, device=tubes.device).repeat_interleave(len(self.first))
        for number in range(len(self.steps)):
            outputs = self.see(number, window, keys, tubes)
            tubes = self.advance(number, outputs, tubes)
            found = central(tubes, 1)[:, 0], outputs.values.mean(1)
            boxes, values = (each.unflatten(0, (num_keys, -1)) for each in found)
            yield boxes, values
