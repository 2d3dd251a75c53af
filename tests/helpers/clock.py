"""Videos that show the time and a backbone that reads it: counting tells what an extraction must leave."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from barcode import number_in, write_video
from scipy.ndimage import gaussian_filter

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import save_weights
from stvr.extract.job import extract
from stvr.extract.pace import Step
from stvr.structures import ClipSpec, MapSpec

CLIP = ClipSpec(image_size=64)


class Reader:
    """A backbone whose features say what it saw: (B, time 2, row 3, column 4, channel 8), by its own rule.

    It writes the number on the first frame of each clip to a log, so that a clip computed twice is there twice.
    """

    name, weights, weights_digest, endpoint, precision = "reader", "none", "00", "bars", "float32"

    def __init__(self, log: Path | None = None, seconds: float = 0.0) -> None:
        self.log, self.seconds = log, seconds

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return (MapSpec(self.endpoint, 16, 2, 8),)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        shown = [[number_in(picture) for picture in clip.numpy()] for clip in frames]
        if self.log:
            with self.log.open("a") as log:
                log.write("".join(f"{clip[0]}\n" for clip in shown if any(clip)))  # a black clip is not logged
        time_step, row, column = (torch.arange(size) for size in (2, 3, 4))
        place = time_step[:, None, None, None] + row[:, None, None] * 10 + column[:, None] / 8
        batch = len(frames)  # the last bits of a network may depend on the batch: this makes that visible
        return torch.tensor(shown)[:, None, None, None, :] + place + batch

    def logged(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log and self.log.exists() else []


class TwoMaps(Reader):
    """Gives a coarser map beside: the same numbers, and others, in one cell of one time step, (B, 1, 1, 1, 3)."""

    endpoint, weights_digest = "bars,deep.mean", "00,01"

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return (MapSpec("bars", 16, 2, 8), MapSpec("deep.mean", 64, 1, 3))

    def maps(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine = self(frames)
        return fine, fine[:, :1, :1, :1, :3] * 2


def write_clock(path: Path, num_clips: int, first_number: int = 8) -> Path:
    """24 frames a second: clip n begins with the frame that shows first_number + 8 n."""
    return write_video(path, range(num_clips * 8), Fraction(1, 24), 1, first_number=first_number)


def write_drift(path: Path, num_clips: int) -> Path:
    """A blotchy picture, 64 x 64, that moves right by a pixel a frame; its left half is tinted red, its right blue."""
    noise = gaussian_filter(np.random.default_rng(4).standard_normal((64, 64)), 3, mode="wrap")
    grey = np.clip(128 + 400 * noise, 60, 200)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width = stream.height = 64
        for number in range(num_clips * 8):
            picture = np.repeat(np.roll(grey, number, 1)[:, :, None], 3, 2)
            picture[:, :32, 0] += 50
            picture[:, 32:, 2] += 50
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        container.mux(stream.encode(None))
    return path


class Looks:
    """A backbone whose features are the block means of its frames, so that the store shows what it was fed."""

    name, weights, weights_digest, endpoint, precision = "looks", "none", "00", "blocks", "float32"
    fails_at: int | None = None

    def __init__(self) -> None:
        self.seen = 0

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return (MapSpec("blocks", 8, 8, 3),)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.seen += len(frames)
        if self.fails_at is not None and self.seen > self.fails_at:
            raise RuntimeError("out of memory")
        return frames.float().reshape(-1, 8, 8, 8, 8, 8, 3).mean((3, 5))  # (B, 8, 8, 8, 3)


def quiet(step: Step) -> None:
    pass


def run(videos, store, backbone, **options):
    return extract(videos, store, backbone, CLIP, **{"batch_size": 3, "clips_per_shard": 4, "report": quiet} | options)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a store by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_rounding_weights(path: Path) -> Path:
    """A weights file for I3D to Mixed_4c whose sums round: He's sizes, batch norms with any statistics.

    The analytic weights add and select exactly, so that no order of adding could be told from another.
    """
    chance = torch.Generator().manual_seed(7)
    model = I3D("Mixed_4c")
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv3d):
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=chance)
            elif isinstance(layer, torch.nn.BatchNorm3d):
                layer.bias.normal_(0, 0.1, generator=chance)
                layer.running_mean.normal_(0, 0.1, generator=chance)
                layer.running_var.uniform_(0.5, 1.5, generator=chance)
    save_weights(model, path)
    return path


def write_clocks(folder: Path, sizes: list[int]) -> list[Path]:
    """Video k begins at frame number 8 + 240 k."""
    return [write_clock(folder / f"v{k:02}.mp4", size, 8 + 240 * k) for k, size in enumerate(sizes)]
