"""I3D run along a video a few clips at a time: what a layer still needs of earlier steps is carried on to later ones.

Every step is computed once, from the same numbers as in one run over the whole video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from stvr.backbones.fold import FoldedMixed, FoldedUnit
from stvr.backbones.i3d import LOGITS_WINDOW, Logits, Pool, scale
from stvr.backbones.onednn import AlwaysOneDNN
from stvr.backbones.taps import MEAN, deepest, endpoint_of, layer_of, mean

Steps = Tensor | None  # (1, C, T, H, W); None where there is no step yet


class Window(NamedTuple):
    """What a layer's step sees of the layer before: `size` steps, `stride` further for the next."""

    size: int
    stride: int

    @property
    def near(self) -> int:
        """Steps that SAME adds before the first, of a number of steps that `stride` divides."""
        return max(self.size - self.stride, 0) // 2

    @property
    def far(self) -> int:
        """Steps that SAME adds after the last."""
        return max(self.size - self.stride, 0) - self.near


class Reach(NamedTuple):
    """How many frames the features of a clip see before its first and after its last one."""

    before: int
    after: int


class Layer(Protocol):
    """A layer of the network in a stream. last: no steps will follow."""

    def __call__(self, steps: Steps, last: bool) -> Steps: ...


class ContextStream:
    """One video, or one stretch of it that nothing is seen beyond, from its first clip to its last.

    network: I3D folded, up to the deepest cut. cuts: as `taps.named_cuts` gives them. frames_per_clip: ValueError where
    a clip has no time steps of its own at a cut. reach: of the clips' features.
    """

    def __init__(self, network: nn.Sequential, cuts: Sequence[str], frames_per_clip: int) -> None:
        first = next(network.parameters())
        self.dtype, self.device = first.dtype, first.device
        windows = {cut: windows_to(network, cut) for cut in cuts}
        self._steps = {cut: steps_of(windows[cut], frames_per_clip, cut) for cut in cuts}
        self.reach = reach_of(windows_to(network, deepest(cuts)), frames_per_clip)
        self._layers = [(endpoint_of(name), streamed(layer)) for name, layer in network.named_children()]
        self._waiting = {cut: Waiting() for cut in cuts}
        self._frames_per_clip, self._ended = frames_per_clip, False

    @torch.inference_mode()
    def push(self, frames: Tensor, last: bool = False) -> dict[str, Tensor]:
        """The next clips (N, F, S, S, 3) uint8 -> the features of the clips that are whole now at every cut, in order.

        By cut, (M, time, row, column, channel); empty while there is none. With `last` all that are left. ValueError
        for anything else than clips, and after the last ones.
        """
        if frames.ndim != 5 or frames.shape[1] != self._frames_per_clip or not len(frames) or self._ended:
            raise ValueError(f"wanted clips (N, {self._frames_per_clip}, S, S, 3) of a video that goes on, got "
                             f"{tuple(frames.shape)}{' after its last' if self._ended else ''}. Begin another stream.")
        self._ended = last
        steps: Steps = self._scaled(frames)
        with AlwaysOneDNN():
            for name, layer in self._layers:
                steps = layer(steps, last)
                for cut, waiting in self._waiting.items():
                    if layer_of(cut) == name and steps is not None:
                        waiting.add(steps)
        count = min(len(waiting) // self._steps[cut] for cut, waiting in self._waiting.items())
        return {cut: self._clips(cut, count) for cut in self._waiting} if count else {}

    def _scaled(self, frames: Tensor) -> Tensor:
        if self.device.type == "cuda":
            frames = frames.pin_memory().to(self.device, non_blocking=True)
        return scale(frames.flatten(0, 1)[None]).to(self.dtype)

    def _clips(self, cut: str, count: int) -> Tensor:
        """(count, time, row, column, channel), taken out of what waits."""
        steps = self._waiting[cut].take(count * self._steps[cut])
        clips = steps[0].unflatten(1, (count, self._steps[cut])).movedim(1, 0)  # (count, C, time, row, column)
        return (mean(clips) if cut.endswith(MEAN) else clips).movedim(1, -1)


class Sliding:
    """A layer whose window is wider than one step.

    run: the layer on steps that fill its windows, without padding in time. edge: one step -> the step that stands
    beside it where there are none, as SAME has it.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], window: Window, edge: Callable[[Tensor], Tensor]) -> None:
        self.run, self.window, self.edge = run, window, edge
        self._kept: Steps = None

    def __call__(self, steps: Steps, last: bool) -> Steps:
        steps = self._with_kept(steps, last)
        if steps is None:
            return None
        size, stride = self.window
        count = (steps.shape[2] - size) // stride + 1
        if count < 1:
            self._kept = steps
            return None
        self._kept = steps[:, :, count * stride :].clone()  # a view would keep all of the steps
        return self.run(steps[:, :, : (count - 1) * stride + size])

    def _with_kept(self, steps: Steps, last: bool) -> Steps:
        """What was kept or the padding before it, the new steps, and the padding after them."""
        first = self._kept is None
        parts = [part for part in (self._kept, steps) if part is not None]
        if not parts:
            return None
        if first:
            parts = [self.edge(parts[0][:, :, :1])] * self.window.near + parts
        if last:
            parts += [self.edge(parts[-1][:, :, -1:])] * self.window.far
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


class Waiting:
    """Steps in a queue."""

    def __init__(self) -> None:
        self._steps: Steps = None

    def __len__(self) -> int:
        return 0 if self._steps is None else self._steps.shape[2]

    def add(self, steps: Tensor) -> None:
        self._steps = steps if self._steps is None else torch.cat([self._steps, steps], 2)

    def take(self, count: int) -> Tensor:
        assert self._steps is not None
        taken, self._steps = self._steps[:, :, :count], self._steps[:, :, count:].clone()
        return taken


class Branches:
    """Mixed: the branch without a window in time waits for the others."""

    def __init__(self, mixed: FoldedMixed) -> None:
        self.mixed = mixed
        self.b1b, self.b2b, self.b3a = map(streamed, (mixed.b1b, mixed.b2b, mixed.b3a))
        self._b0 = Waiting()

    def __call__(self, steps: Steps, last: bool) -> Steps:
        b1a = b2a = None
        if steps is not None:
            b0, b1a, b2a = self.mixed.heads(steps).split(self.mixed.channels, 1)
            self._b0.add(b0)
        b1b, b2b, b3a = self.b1b(b1a, last), self.b2b(b2a, last), self.b3a(steps, last)
        if b1b is None or b2b is None or b3a is None:  # their windows are alike: all three are, or none
            return None
        return torch.cat([self._b0.take(b1b.shape[2]), b1b, b2b, self.mixed.b3b(b3a)], 1)


def streamed(layer: nn.Module) -> Layer:
    if isinstance(layer, FoldedMixed):
        return Branches(layer)
    window = window_of(layer)
    if window == (1, 1):
        return partial(at_once, layer)
    run = layer if isinstance(layer, Logits) else partial(layer, in_time=False)
    return Sliding(run, window, EDGES[type(layer)])


def at_once(layer: nn.Module, steps: Steps, last: bool) -> Steps:
    return None if steps is None else layer(steps)


def window_of(layer: nn.Module) -> Window:
    if isinstance(layer, FoldedMixed):
        return window_of(layer.b1b)  # b2b and b3a have the same
    if isinstance(layer, FoldedUnit):
        return Window(layer.conv3d.kernel_size[0], layer.conv3d.stride[0])
    if isinstance(layer, Pool):
        return Window(layer.kernel[0], layer.stride[0])
    assert isinstance(layer, Logits)
    return Window(LOGITS_WINDOW[0], 1)


def windows_to(network: nn.Sequential, cut: str) -> list[Window]:
    """Of every layer up to a cut."""
    names = [endpoint_of(name) for name, _ in network.named_children()]
    return [window_of(layer) for layer in network[: names.index(layer_of(cut)) + 1]]


def seen_by(windows: Sequence[Window], steps: int) -> tuple[int, int]:
    """The frames [first, stop) that the first `steps` steps after the last window see; before the video is below 0."""
    first, stop = 0, steps
    for window in reversed(windows):
        first, stop = (each * window.stride - window.near for each in (first, stop - 1))
        stop += window.size
    return first, stop


def steps_of(windows: Sequence[Window], frames_per_clip: int, cut: str) -> int:
    """How many time steps of a cut a clip has. ValueError where it is no whole number."""
    frames = prod(window.stride for window in windows)
    if frames_per_clip % frames:
        raise ValueError(f"the context of a video needs clips of {frames} frames or a multiple of it at {cut}, not of "
                         f"{frames_per_clip}. Give another endpoint, or --context clip.")
    return frames_per_clip // frames


def reach_of(windows: Sequence[Window], frames_per_clip: int) -> Reach:
    first, stop = seen_by(windows, frames_per_clip // prod(window.stride for window in windows))
    return Reach(-first, stop - frames_per_clip)


def lowest(step: Tensor) -> Tensor:
    return torch.full_like(step, float("-inf"))


def itself(step: Tensor) -> Tensor:
    return step


# What stands beside the first and the last step. The logits of the last clip are those of its own step.
EDGES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    FoldedUnit: torch.zeros_like, Pool: lowest, Logits: itself,
}  # fmt: skip
