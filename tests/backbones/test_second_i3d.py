"""Logits of I3D against a second implementation, written here from what was published, not from the code under test.

Carreira and Zisserman 2017, figure 3, and their program i3d.py: SAME padding as TensorFlow counts it, batch norm
without a gain and with 1e-3 beside the variance, the mean of 2 x 7 x 7 windows before the last layer, logits averaged
over time. Arrays have the names and layout of DeepMind's weights in Flax: kernels are [kT, kH, kW, in, out], means and
variances [1, 1, 1, 1, out].
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional as F

from stvr.backbones import I3D, load_backbone
from stvr.backbones.weights.load import from_tensorflow, load_state, save_weights
from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips

Arrays = dict[str, np.ndarray]

PLAN: list[tuple[str, tuple[int, ...]]] = [  # kernel and stride; or the channels of a block's six convolutions
    ("Conv3d_1a_7x7", (7, 2, 64)), ("MaxPool3d_2a_3x3", (1, 3, 1, 2)), ("Conv3d_2b_1x1", (1, 1, 64)),
    ("Conv3d_2c_3x3", (3, 1, 192)), ("MaxPool3d_3a_3x3", (1, 3, 1, 2)),
    ("Mixed_3b", (64, 96, 128, 16, 32, 32)), ("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    ("MaxPool3d_4a_3x3", (3, 3, 2, 2)), ("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", (160, 112, 224, 24, 64, 64)), ("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", (112, 144, 288, 32, 64, 64)), ("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    ("MaxPool3d_5a_2x2", (2, 2, 2, 2)), ("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", (384, 192, 384, 48, 128, 128)),
]  # fmt: skip
BRANCHES = ("Branch_0/Conv3d_0a_1x1", "Branch_1/Conv3d_0a_1x1", "Branch_1/Conv3d_0b_3x3",
            "Branch_2/Conv3d_0a_1x1", "Branch_2/Conv3d_0b_3x3", "Branch_3/Conv3d_0b_1x1")  # fmt: skip
LAST = "Logits/Conv3d_0c_1x1"
OF_TENSORFLOW = {
    "Conv_0/kernel": "conv_3d/w", "Conv_0/bias": "conv_3d/b", "BatchNorm_0/bias": "batch_norm/beta",
    "BatchNorm_0/mean": "batch_norm/moving_mean", "BatchNorm_0/var": "batch_norm/moving_variance",
}  # fmt: skip


def second_logits(arrays: Arrays, frames: np.ndarray) -> Tensor:
    """A clip (T, H, W, 3) uint8 -> logits (classes,)."""
    x = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    for layer, sizes in PLAN:
        if layer.startswith("Conv3d"):
            x = unit(arrays, layer, x, sizes[1])
        elif layer.startswith("MaxPool"):
            x = largest(x, (sizes[0], sizes[1], sizes[1]), (sizes[2], sizes[3], sizes[3]))
        else:
            b0, b1a, b1b, b2a, b2b, b3b = (f"{layer}/{branch}" for branch in BRANCHES)
            x = torch.cat([
                unit(arrays, b0, x), unit(arrays, b1b, unit(arrays, b1a, x)), unit(arrays, b2b, unit(arrays, b2a, x)),
                unit(arrays, b3b, largest(x, (3, 3, 3), (1, 1, 1))),
            ], 1)  # fmt: skip
    x = F.avg_pool3d(x, (2, 7, 7), 1)[0].mean((1, 2, 3))  # of every window the same last layer, which is linear
    kernel, bias = (torch.from_numpy(arrays[f"params/{LAST}/Conv_0/{leaf}"]) for leaf in ("kernel", "bias"))
    return x @ kernel[0, 0, 0] + bias


def unit(arrays: Arrays, layer: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = torch.from_numpy(arrays[f"params/{layer}/Conv_0/kernel"]).permute(4, 3, 0, 1, 2)
    mean, variance, offset = (
        torch.from_numpy(arrays[name]).view(-1, 1, 1, 1)
        for name in (f"batch_stats/{layer}/BatchNorm_0/mean", f"batch_stats/{layer}/BatchNorm_0/var",
                     f"params/{layer}/BatchNorm_0/bias")
    )  # fmt: skip
    x = F.conv3d(padded(x, kernel.shape[2:], (stride,) * 3, 0), kernel, stride=stride)
    return ((x - mean) / (variance + 1e-3).sqrt() + offset).clamp_min(0)


def largest(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    return F.max_pool3d(padded(x, kernel, stride, -torch.inf), kernel, stride)


def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> Tensor:
    """TensorFlow's SAME: ceil(size / stride) windows, the odd cell of padding at the far end."""
    pads: list[int] = []
    for size, width, step in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((ceil(size / step) - 1) * step + width - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def made_arrays(num_classes: int = 7) -> Arrays:
    """Random numbers under the names and in the shapes of the released arrays, so scaled that no map dies away."""
    draw, arrays = np.random.default_rng(0), {}
    for layer, shape in convolutions(num_classes):
        kernel = draw.normal(0, (2 / prod(shape[:4])) ** 0.5, shape)
        arrays[f"params/{layer}/Conv_0/kernel"] = kernel
        if layer == LAST:
            arrays[f"params/{layer}/Conv_0/bias"] = draw.normal(0, 1, shape[4])
        else:
            arrays[f"params/{layer}/BatchNorm_0/bias"] = draw.normal(0.2, 0.3, shape[4])
            arrays[f"batch_stats/{layer}/BatchNorm_0/mean"] = draw.normal(0, 0.3, (1, 1, 1, 1, shape[4]))
            arrays[f"batch_stats/{layer}/BatchNorm_0/var"] = draw.uniform(0.5, 2, (1, 1, 1, 1, shape[4]))
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def convolutions(num_classes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every convolution's name and the shape of its kernel."""
    channels = 3
    for layer, sizes in PLAN:
        if layer.startswith("Conv3d"):
            yield layer, (sizes[0],) * 3 + (channels, sizes[2])
            channels = sizes[2]
        elif layer.startswith("Mixed"):
            taken = (channels, channels, sizes[1], channels, sizes[3], channels)
            for branch, width, given in zip(BRANCHES, taken, sizes, strict=True):
                yield f"{layer}/{branch}", (int(branch[-1]),) * 3 + (width, given)
            channels = sizes[0] + sizes[2] + sizes[4] + sizes[5]
    yield LAST, (1, 1, 1, channels, num_classes)


def first_logits(weights: Path, frames: np.ndarray) -> Tensor:
    """What stvr makes of a clip."""
    return load_backbone("i3d", weights, "Logits", "float32")(torch.from_numpy(frames)[None]).mean((0, 1, 2, 3))


def test_the_released_arrays_have_as_many_numbers_as_deepmind_says():
    arrays = made_arrays(400)
    assert (len(arrays), sum(value.size for value in arrays.values())) == (230, 12_704_544)


@torch.inference_mode()
def test_logits_of_made_weights_equal_a_second_implementations(tmp_path):
    arrays = made_arrays()
    model = I3D("Logits", num_classes=7)
    load_state(model, from_tensorflow({in_tensorflow(name): value for name, value in arrays.items()}))
    save_weights(model, tmp_path / "made.safetensors")
    frames = np.random.default_rng(1).integers(0, 256, (17, 224, 230, 3), np.uint8)  # odd sizes are padded unevenly
    expected = second_logits(arrays, frames)
    assert expected.std() > 0.1
    torch.testing.assert_close(first_logits(tmp_path / "made.safetensors", frames), expected, rtol=0, atol=1e-4)


def in_tensorflow(name: str) -> str:
    """params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/kernel -> Mixed_3b/Branch_0/Conv3d_0a_1x1/conv_3d/w"""
    _, *layer, module, leaf = name.split("/")
    return "/".join([*layer, OF_TENSORFLOW[f"{module}/{leaf}"]])


@torch.inference_mode()
def test_trained_logits_of_a_real_clip_equal_a_second_implementations(trained_weights, shared):
    video = shared / "data/videos/ucf101-24/v_Basketball_g07_c04.mp4"
    spec = ClipSpec(fps=25, frames_per_clip=32, image_size=224)
    _, frames, _ = next(decode_clips(video, spec))
    expected = second_logits(flax_arrays(trained_weights), frames)
    assert expected.argmax() == 296  # "shooting basketball" in the list of Kinetics' classes
    torch.testing.assert_close(first_logits(trained_weights, frames), expected, rtol=0, atol=1e-4)


def flax_arrays(weights: Path) -> Arrays:
    """Our file's numbers under the names and in the layout that they were released in."""
    units = dict(zip(("b0", "b1a", "b1b", "b2a", "b2b", "b3b"), BRANCHES, strict=True))
    leaves = {"conv3d.weight": "params/{}/Conv_0/kernel", "conv3d.bias": "params/{}/Conv_0/bias",
              "bn.bias": "params/{}/BatchNorm_0/bias", "bn.running_mean": "batch_stats/{}/BatchNorm_0/mean",
              "bn.running_var": "batch_stats/{}/BatchNorm_0/var"}  # fmt: skip
    arrays = {}
    for name, value in load_file(weights).items():
        layer, *middle, module, leaf = name.split(".")
        if f"{module}.{leaf}" in leaves:
            place = LAST if layer == "logits" else "/".join([layer, *(units[each] for each in middle)])
            array = value.transpose(2, 3, 4, 1, 0) if value.ndim == 5 else value
            arrays[leaves[f"{module}.{leaf}"].format(place)] = array
    return arrays
