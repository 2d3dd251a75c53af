"""Checks that extracting two hours of video takes no more memory than the first minute; fails above 100 MB more.

Usage: python scripts/check_memory.py [--hours 2] [--image-size 64] [--context video --endpoint Mixed_5c]

With --context video I3D runs along the whole of it, in place of the cheapest of backbones: 0.01 s a clip at 32 pixels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.extract.pace import Step
from stvr.specs import CONTEXTS
from stvr.structures import ClipSpec, MapSpec

ALLOWED_MB = 100
RATE, WIDTH, HEIGHT = 24, 320, 240


class MeanColours:
    """The cheapest of backbones: (B, 2, 4, 4, 3), the mean colours of a 4 x 4 grid in two frames of each clip."""

    name, weights, weights_digest, endpoint, precision = "mean_colours", "none", "0", "mean", "float32"

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return (MapSpec(self.endpoint, clip.image_size // 4, 2, 3),)

    def __call__(self, frames: Tensor) -> Tensor:
        batch, _, side, _, _ = frames.shape
        pictures = frames[:, ::4].permute(0, 1, 4, 2, 3).reshape(batch * 2, 3, side, side).float()
        return adaptive_avg_pool2d(pictures, 4).reshape(batch, 2, 3, 4, 4).permute(0, 1, 3, 4, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--context", choices=CONTEXTS, default="clip")
    parser.add_argument("--endpoint", default="Mixed_4c")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clip, resident, start = ClipSpec(image_size=options.image_size, context=options.context), [], time.monotonic()
    in_context = options.context == "video"
    backbone = load_backbone(endpoint=options.endpoint, precision="float32") if in_context else MeanColours()
    first_minute = int(60 * clip.clips_per_second)

    def watch(step: Step) -> None:
        if step.clips >= first_minute:
            resident.append(resident_mb())

    with tempfile.TemporaryDirectory() as folder:
        video = write_long_video(Path(folder) / "long.mkv", options.hours)
        report = extract([video], Path(folder) / "store", backbone, clip, report=watch)
    growth, seconds = max(resident) - resident[0], time.monotonic() - start
    print(
        f"{report.clips_computed} clips in {seconds:.0f} s: {resident[0]:.0f} MB after the first minute, "
        f"{max(resident):.0f} MB at most, {growth:.0f} MB more (allowed: {ALLOWED_MB})"
    )
    return int(growth >= ALLOWED_MB or report.clips_computed != int(options.hours * 3600 * clip.clips_per_second))


def write_long_video(path: Path, hours: float) -> Path:
    """Encodes ten seconds of moving noise once and copies the packets until the video is long enough."""
    squares = np.random.default_rng(0).integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
    noise = squares.repeat(16, 0).repeat(16, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        packets = []
        for number in range(10 * RATE):
            packets += stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 2 * number, 1)))
        packets += stream.encode(None)
        copies = [(bytes(packet), packet.pts * packet.time_base, packet.is_keyframe) for packet in packets]
        for repeat in range(round(hours * 360)):
            for content, seconds, is_keyframe in copies:
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000 * RATE), is_keyframe
                packet.pts = packet.dts = int((seconds + 10 * repeat) / packet.time_base)
                packet.duration = 1000
                container.mux(packet)
    return path


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    sys.exit(main())
