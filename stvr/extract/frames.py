"""Frames of clips for training, read from video files on demand and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.extract.flow import Flow
from stvr.store import FeatureSpec
from stvr.structures import Span
from stvr.video.decode import VideoInfo, probe
from stvr.video.reading import as_fed, read_clips

ROOM = 2 << 30  # bytes of frames to keep

Kept = tuple[NDArray[np.uint8], NDArray[np.float16] | None]  # a clip's frames (F, S, S, 3), its flow (H, W, 2)


class FrameReader:
    """Clips of the videos at `paths` (video -> file), cut and coloured as `spec` says; flow where one is given.

    A file is decoded from its start, because seeking can miss frames: this is fast for short files, or when `room`
    (bytes of frames to keep) is enough for them.
    """

    how_to_add = "Name their files with --videos"

    def __init__(
        self, paths: Mapping[str, Path], spec: FeatureSpec, flow: Flow | None = None, room: int = ROOM
    ) -> None:
        self.paths, self.spec, self.flow, self.room = dict(paths), spec, flow, room
        self._infos: dict[str, VideoInfo] = {}
        self._kept: OrderedDict[tuple[str, int], Kept] = OrderedDict()
        self._size = 0

    def __contains__(self, video: object) -> bool:
        return video in self.paths

    def __str__(self) -> str:
        return f"the {len(self.paths)} video files"

    def num_clips(self, video: str) -> int:
        """As the file says. ValueError when it is not a video."""
        return self._info(video).count_clips(self.spec.clip)

    def read(self, span: Span, flipped: bool = False) -> tuple[Tensor, Tensor | None]:
        """Frames (T, F, S, S, 3) uint8 as the backbone is fed, flow (T, H, W, 2) float32 or None.

        ValueError when the file has fewer clips than it says.
        """
        if any((span.video, clip) not in self._kept for clip in range(span.start, span.stop)):
            self._decode(span)
        clips = [self._kept[span.video, clip] for clip in range(span.start, span.stop)]
        self._forget()
        frames = as_fed(np.stack([frames for frames, _ in clips]), self.spec, flipped)
        if self.flow is None:
            return frames, None
        moved = torch.from_numpy(np.stack([flow for _, flow in clips if flow is not None])).float()
        return frames, mirrored_flow(moved) if flipped else moved

    def _info(self, video: str) -> VideoInfo:
        if video not in self._infos:
            self._infos[video] = probe(self.paths[video])
        return self._infos[video]

    def _decode(self, span: Span) -> None:
        info, last = self._info(span.video), span.start - 1
        for clip in read_clips(info.path, self.spec, span.start, info):
            self._keep((span.video, clip.number), clip.frames, clip.before)
            last = clip.number
            if clip.number + 1 == span.stop:
                return
        raise ValueError(f"{info.path} can be decoded up to clip {last} only, but clip {span.stop - 1} is needed. "
                         "Prepare the pairs without this video.")

    def _keep(self, key: tuple[str, int], frames: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        side = -(-self.spec.clip.image_size // self.spec.finest.stride)  # cells of the map that flow is brought to
        self._kept[key] = frames, None if self.flow is None else self.flow(before, frames, (side, side))
        self._size += frames.nbytes

    def _forget(self) -> None:
        """Drops the clips that were asked for longest ago, until the rest fits."""
        while self._size > self.room and len(self._kept) > 1:
            _, (frames, _) = self._kept.popitem(last=False)
            self._size -= frames.nbytes


def mirrored_flow(flow: Tensor) -> Tensor:
    """Flow (T, H, W, 2), (y, x), of the pictures mirrored left to right."""
    return flow.flip(2) * flow.new_tensor([1.0, -1.0])
