"""The rival: a script as I3D's users write it today. Whole network, float32, one clip at a time, one .npy a video.

    python benchmarks/plain_extract.py OUT VIDEO...

The network pads by copying, as the published PyTorch port does, in torch's usual layout. Nothing runs in parallel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.analytic import analytic_state
from stvr.backbones.i3d import I3D, Pool, Unit, same_padding
from stvr.backbones.weights.load import load_state

FPS, FRAMES, SIDE = 24, 8, 320


def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    pads = [same_padding(*sizes) for sizes in zip(x.shape[2:], kernel, stride, strict=True)]
    return F.pad(x, [cells for pad in pads[::-1] for cells in pad])


class PublishedUnit(Unit):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(padded(x, self.conv3d.kernel_size, self.conv3d.stride))))


class PublishedPool(Pool):
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


def build_network(endpoint: str) -> I3D:
    model = I3D(endpoint).eval()
    load_state(model, analytic_state(model))
    for layer in model.modules():
        if isinstance(layer, Unit):
            layer.__class__ = PublishedUnit
        elif isinstance(layer, Pool):
            layer.__class__ = PublishedPool
    return model


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Frames as numpy arrays, each resized with PIL; 24 a second by rounding."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        number = 0
        for index, frame in enumerate(container.decode(stream)):
            while round(number * float(stream.average_rate) / FPS) == index:
                picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                yield np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
                number += 1


@torch.no_grad()
def extract_features(network: nn.Module, path: Path) -> np.ndarray:
    """Mixed_4c of every clip, (N, 512, 2, 20, 20) float32, whatever the network computes after it."""
    maps: list[Tensor] = []
    hook = network.Mixed_4c.register_forward_hook(lambda layer, inputs, output: maps.append(output))
    frames = np.stack(list(read_frames(path)))
    for start in range(0, len(frames) - FRAMES + 1, FRAMES):
        clip = torch.from_numpy(frames[start : start + FRAMES]).permute(3, 0, 1, 2).float() / 127.5 - 1
        network(clip.unsqueeze(0).contiguous())
    hook.remove()
    return torch.cat(maps).numpy()


def main(out: str, *videos: str) -> None:
    network = build_network("Mixed_5c")
    Path(out).mkdir(parents=True, exist_ok=True)
    for video in videos:
        np.save(Path(out) / f"{Path(video).stem}.npy", extract_features(network, Path(video)))


if __name__ == "__main__":
    main(*sys.argv[1:])
